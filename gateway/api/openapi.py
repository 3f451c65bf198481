"""`/openapi.json`: the whole API port as an OpenAPI 3.1 document.

FastAPI describes its own routes; the inference routes, which are raw ASGI, are added from
`gateway.api.schemas`. The document holds no secret and is the same for all, so it needs no key.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse

from gateway.api.schemas import COUNT, NUMBER, ROUTES, SCHEMAS, TEXT, ref
from gateway.protocol.fields import Api

HEADERS = {
    "x-request-id": ("The caller's id, or a new one.", TEXT),
    "x-r1-model": ("The model that really answered.", TEXT),
    "x-r1-cache": ("Where the answer came from.", TEXT),
    "x-r1-attempts": ("Attempts at model servers.", COUNT),
    "x-ratelimit-limit-requests": ("The key's requests a minute, if it has that limit.", COUNT),
    "x-ratelimit-remaining-requests": ("How many of them are left.", COUNT),
    "x-ratelimit-reset-requests": ("The time until all are there again: 12s, 1m1s.", TEXT),
    "x-ratelimit-limit-tokens": ("The key's tokens a minute, if it has that limit.", COUNT),
    "x-ratelimit-remaining-tokens": ("How many of them are left.", COUNT),
    "x-ratelimit-reset-tokens": ("The time until all are there again.", TEXT),
    "x-r1-ending": ("Why the answer is not as its model ended it: repetition.", TEXT),
    "openai-processing-ms": ("Milliseconds until the headers were sent.", COUNT),
}
ERROR_HEADERS = {
    "x-should-retry": ("Whether the same request may succeed later.", TEXT),
    "retry-after": ("Seconds; on every 429 and 503.", COUNT),
}
REQUEST_HEADERS = {
    "x-request-id": ("An id for this request; up to 128 of A-Z a-z 0-9 . _ : -", TEXT),
    "x-request-timeout": ("Seconds to the end of the answer.", NUMBER),
    "x-r1-fallback": ("Whether another model may answer: allow or deny.", TEXT),
}
_OPEN = ("/livez", "/readyz", "/openapi.json")
_KEYS: list[dict[str, list[str]]] = [{"bearer": []}, {"x-api-key": []}]
_ABOUT = "An OpenAI-compatible gateway for the DeepSeek-R1 family. docs/api.md tells the whole."


def install(app: FastAPI) -> None:
    """Add the route; the document is made when it is first asked for."""

    @cache
    def document() -> dict[str, Any]:
        return make_document(app)

    async def openapi() -> JSONResponse:
        """This document."""
        return JSONResponse(document())

    app.add_api_route("/openapi.json", openapi, methods=["GET"])


def make_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application's routes and the inference routes."""
    made = get_openapi(
        title="r1", version="1", openapi_version="3.1.0", description=_ABOUT, routes=app.routes
    )
    parts = made.setdefault("components", {})
    parts.setdefault("schemas", {}).update(SCHEMAS)
    parts["headers"] = {
        name: {"description": about, "schema": schema}
        for name, (about, schema) in {**HEADERS, **ERROR_HEADERS}.items()
    }
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    for path, operations in made["paths"].items():
        for operation in operations.values():
            # FastAPI's own form of a refusal is not what is answered here.
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _error("Error")
            if path not in _OPEN:
                operation["security"] = _KEYS
    for api in ROUTES:
        for prefix in ("/v1", ""):
            made["paths"][prefix + ROUTES[api][0]] = {"post": _inference(api, prefix)}
    # Of FastAPI's own form of refusals.
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    return made


def _inference(api: Api, prefix: str) -> dict[str, Any]:
    _, about, request, answer, event = ROUTES[api]
    content: dict[str, Any] = {"application/json": {"schema": ref(answer)}}
    if event is not None:
        content["text/event-stream"] = {"schema": ref(event)}
    error = "AnthropicError" if api in ("messages", "count_tokens") else "Error"
    return {
        "summary": about,
        "operationId": f"{api}{prefix.replace('/', '_')}",
        "security": _KEYS,
        "parameters": [
            {"name": name, "in": "header", "description": about, "schema": schema}
            for name, (about, schema) in REQUEST_HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ref(request)}},
        },
        "responses": {
            "200": {
                "description": "The answer, or its events.",
                "headers": {name: _header(name) for name in HEADERS},
                "content": content,
            },
            "default": _error(error),
        },
    }


def _error(schema: str) -> dict[str, Any]:
    return {
        "description": "An error; docs/api.md lists the codes.",
        "headers": {name: _header(name) for name in ("x-request-id", *ERROR_HEADERS)},
        "content": {"application/json": {"schema": ref(schema)}},
    }


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}
