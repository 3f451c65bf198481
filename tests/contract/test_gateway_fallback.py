"""Another model answers, when that is allowed and said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator, chat

pytestmark = pytest.mark.timeout(240)
ALLOW = {"x-r1-fallback": "allow"}
DENY = {"x-r1-fallback": "deny"}


@pytest.fixture(scope="module")
def large(folder: Path) -> Iterator[Simulator]:
    server = Simulator(folder, "--model", "large")
    yield server
    server.end()


@pytest.fixture(scope="module")
def small(folder: Path) -> Iterator[Simulator]:
    server = Simulator(folder, "--model", "small", "--max-model-len", "512")
    yield server
    server.end()


@pytest.fixture(scope="module")
def gateway(
    folder: Path, redis: RedisServer, large: Simulator, small: Simulator
) -> Iterator[Gateway]:
    def model(name: str, server: Simulator, **fields: Any) -> dict[str, Any]:
        return {"id": name, "aliases": [], "upstreams": [{"url": server.url}], **fields}

    process = Gateway(
        folder / "fallback",
        redis,
        [{"url": large.url}],
        model=model("large", large, fallbacks=["middle", "small"]),
        more_models=[
            # Another name for the server that fails: the next in the chain is asked.
            {
                "id": "middle",
                "upstreams": [{"url": large.url, "model": "large"}],
                "fallback_policy": "never",
                "fallbacks": ["small"],
            },
            model("small", small),
            model("generous", large, fallbacks=["small"], fallback_policy="always"),
        ],
    )
    yield process
    process.end()


def post(gateway: Gateway, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return HTTP.post(
        gateway.url + "/v1/chat/completions",
        json=chat(**{"model": "large", **body}),
        headers={**gateway.headers, **(headers or {})},
        timeout=30,
    )


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"fault": "die"}])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_fallback_answers_and_says_so(
    gateway: Gateway, large: Simulator, small: Simulator, fault: dict[str, Any], streaming: bool
) -> None:
    large.reset()
    small.reset()
    assert post(gateway, ALLOW, stream=streaming).headers["x-r1-model"] == "large"
    large.control(**fault)
    answer = post(gateway, ALLOW, stream=streaming)
    assert (answer.status_code, answer.headers["x-r1-model"]) == (200, "small")
    assert answer.headers["x-r1-attempts"] == "3"
    assert '"model":"small"' in answer.text
    assert "large" not in answer.text
    assert small.last()["model"] == "small"


def test_a_fallback_that_is_lost_ends_the_stream_as_its_own_loss(
    gateway: Gateway, large: Simulator, small: Simulator
) -> None:
    large.reset()
    small.reset()
    large.control(status=500)
    small.control(fault="cut", step_s=0.001)
    answer = post(gateway, ALLOW, stream=True)
    assert (answer.status_code, answer.headers["x-r1-model"]) == (200, "small")
    assert "upstream_lost" in answer.text
    assert "[DONE]" not in answer.text


def test_only_with_permission(gateway: Gateway, large: Simulator, small: Simulator) -> None:
    small.reset()
    large.reset()
    large.control(status=500)
    for model, headers in (
        ("large", {}),
        ("large", DENY),
        ("middle", ALLOW),
        ("small", ALLOW),
        ("generous", DENY),
    ):
        answer = post(gateway, headers, model=model)
        if model != "small":
            assert (answer.status_code, answer.headers["x-r1-model"]) == (502, model)
    assert len(small.seen()["seen"]) == 1
    assert post(gateway, model="generous").headers["x-r1-model"] == "small"
    wrong = post(gateway, {"x-r1-fallback": "yes"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "x-r1-fallback")


def test_what_the_caller_has_to_mend_is_not_asked_elsewhere(
    gateway: Gateway, large: Simulator, small: Simulator
) -> None:
    large.reset()
    small.reset()
    answer = post(gateway, ALLOW, messages=[{"role": "user", "content": "x" * 5000}])
    assert (answer.status_code, answer.headers["x-r1-model"]) == (400, "large")
    assert small.seen()["seen"] == []


def test_a_prompt_that_the_fallback_can_not_hold_gives_the_first_error(
    gateway: Gateway, large: Simulator, small: Simulator
) -> None:
    large.reset()
    large.control(status=429, retry_after="7")
    for limit in ({"max_tokens": 10}, {}):
        messages = [{"role": "user", "content": "x" * 1000}]
        answer = post(gateway, ALLOW, messages=messages, **limit)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert answer.headers["x-r1-model"] == "large"
