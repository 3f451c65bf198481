"""The OpenAPI document: valid, complete, and true to the routes and to docs/api.md."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
from starlette.routing import Route

from gateway.api import admin, health
from gateway.api.openapi import ERROR_HEADERS, HEADERS, REQUEST_HEADERS, make_document
from gateway.api.schemas import SCHEMAS
from gateway.app import Readiness, make_app
from gateway.in_flight import InFlight
from gateway.protocol.fields import _RULES
from gateway.protocol.request import parse
from gateway.router import Router
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def app() -> FastAPI:
    nothing: Any = None
    metrics = Metrics(Meter(Sheet(make_files())))
    logger = logging.getLogger("x")
    return make_app(
        nothing,
        metrics,
        logger,
        nothing,
        Router([]),
        Readiness(None),
        InFlight(),
        nothing,
        nothing,
    )


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(make_document(app)))
    return made


@pytest.fixture(scope="module")
def jsonschema() -> Any:
    return pytest.importorskip("jsonschema", reason="it comes with vLLM, which is not installed")


def routes(app: FastAPI) -> set[tuple[str, str]]:
    """Methods and paths of an application, as OpenAPI writes them."""
    return {
        (method, route.path.replace(":path}", "}"))
        for route in app.routes
        if isinstance(route, Route | APIRoute)
        for method in route.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }


def test_each_route_is_described_and_nothing_else(app: FastAPI, document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert described == routes(app)
    assert ("POST", "/v1/chat/completions") in described


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)
    broken = {**document, "paths": {"/v1/models/{name}": {"get": {"responses": {}}}}}
    with pytest.raises(OpenAPIValidationError):
        validate(broken)


def test_the_fields_that_are_checked_are_described() -> None:
    ours = {"top_k", "min_p", "repetition_penalty", "min_tokens", "metadata", "best_of"}
    of = {"chat": "ChatRequest", "completions": "CompletionRequest"}
    for api, name in of.items():
        rules: Any = _RULES
        assert set(rules[api]) - ours - {"chat_template_kwargs", "return_token_ids"} <= set(
            SCHEMAS[name]["properties"]
        )


def test_what_the_schema_refuses_the_gateway_refuses(jsonschema: Any) -> None:
    wrong: list[dict[str, Any]] = [
        {"model": "m"},
        {"messages": []},
        {"model": "m", "messages": [{"role": "king", "content": "hi"}]},
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 3},
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 0},
    ]
    validator = jsonschema.Draft202012Validator(
        {**SCHEMAS["ChatRequest"], "components": {"schemas": SCHEMAS}}
    )
    for body in wrong:
        assert not validator.is_valid(body), body
        with pytest.raises(Exception, match="must"):
            parse(json.dumps(body).encode(), "chat", max_depth=9)
    good = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    validator.validate(good)


def test_the_page_has_each_route_of_the_api_port(app: FastAPI) -> None:
    unversioned = {path for _, path in routes(app) if path.startswith("/v1")}
    for method, path in routes(app):
        if "/v1" + path in unversioned:
            continue
        assert_told(method, path.replace("{name}", "{id}"))


def test_the_page_has_each_route_of_the_admin_port() -> None:
    nothing: Any = None
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    guard = admin.admins_only(nothing, None, float)
    app.include_router(health.make_router(lambda: None))
    app.include_router(admin.make_metrics_router(lambda form: form))
    app.include_router(admin.make_keys_router(nothing, guard))
    app.include_router(admin.make_usage_router(nothing, guard))
    assert len(routes(app)) >= 9
    for method, path in routes(app):
        assert_told(method, path.replace("{key_id}", "{id}"))


def assert_told(method: str, path: str) -> None:
    """The page has a table row with this method and path."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and f"{path}`" in line]
    assert any(f"`{method} {path}`" in row or f"`{method}`" in row for row in rows), (method, path)


def test_the_page_has_each_code_and_header_that_is_sent() -> None:
    source = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    codes = set(re.findall(r'\bcode="([a-z_]+)"', source)) | set(
        re.findall(r'^    code = "([a-z_]+)"', source, re.MULTILINE)
    )
    assert len(codes) > 15
    assert [code for code in codes if f"`{code}`" not in PAGE] == []
    sent = set(re.findall(r'\(b"((?:x-|openai-|retry-)[a-z0-9-]+)",', source))
    assert {"x-request-id", "x-r1-model", "retry-after"} <= sent
    told = {*HEADERS, *ERROR_HEADERS}
    assert [header for header in REQUEST_HEADERS if f"| `{header}` |" not in PAGE] == []
    # Said to proxies and browsers, not to callers.
    assert sent - told - {"x-accel-buffering", "x-content-type-options"} == set()
    assert [header for header in told if f"| `{header}` |" not in PAGE] == []
