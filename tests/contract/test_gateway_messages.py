"""Anthropic's messages through the gateway, over plain HTTP against the simulated vLLM."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.contract.stack import HTTP, Gateway, Simulator, wait_for

REASONING, CONTENT = "7+5=12", "\\boxed{12}"
TURNS = [{"role": "user", "content": "What is 7+5?"}]
ASKED: dict[str, Any] = {"model": "deepseek-r1", "max_tokens": 100, "messages": TURNS}
TOKENS = len(REASONING) + 1 + len(CONTENT) + 1


def post(gateway: Gateway, path: str = "/v1/messages", **body: Any) -> httpx.Response:
    """A call with the key where Anthropic's clients put it."""
    headers = {"x-api-key": gateway.key, "anthropic-version": "2023-06-01"}
    return HTTP.post(gateway.url + path, json={**ASKED, **body}, headers=headers, timeout=30)


def events(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    """Names and data of a stream's events."""
    blocks = [block for block in answer.text.split("\n\n") if block.startswith("event: ")]
    pairs = [block.split("\n") for block in blocks]
    return [(name[7:], json.loads(data[6:])) for name, data in pairs]


def test_whole(gateway: Gateway, vllm: Simulator) -> None:
    before = gateway.value("r1_tokens_total", kind="completion")
    answer = post(gateway, system="Be brief.", thinking={"type": "enabled", "budget_tokens": 1024})
    assert answer.headers["x-r1-model"] == "r1-nano"
    body = answer.json()
    assert [block["type"] for block in body["content"]] == ["thinking", "text"]
    assert (body["content"][0]["thinking"], body["content"][1]["text"]) == (REASONING, CONTENT)
    assert (body["model"], body["stop_reason"]) == ("r1-nano", "end_turn")
    assert body["usage"]["output_tokens"] == TOKENS
    asked = vllm.last()
    assert (asked["model"], asked["system"]) == ("r1-nano", "Be brief.")
    assert "thinking" not in asked
    assert gateway.value("r1_tokens_total", kind="completion") == before + TOKENS


def test_streamed(gateway: Gateway, vllm: Simulator) -> None:
    before = gateway.value("r1_tokens_total", kind="completion")
    got = events(post(gateway, stream=True))
    assert all(name == data["type"] for name, data in got)
    assert (got[0][0], got[-1][0]) == ("message_start", "message_stop")
    assert got[0][1]["message"]["model"] == "r1-nano"
    deltas = [data["delta"] for name, data in got if name == "content_block_delta"]
    assert "".join(delta.get("thinking", "") for delta in deltas) == REASONING
    assert "".join(delta.get("text", "") for delta in deltas) == CONTENT
    assert got[-2][1]["usage"]["output_tokens"] == TOKENS
    wait_for(
        lambda: gateway.value("r1_tokens_total", kind="completion") == before + TOKENS, "the usage"
    )


def test_a_call_of_a_tool(gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(tool="add", content='{"a":7}')
    tools = [{"name": "add", "input_schema": {"type": "object"}}]
    body = post(gateway, tools=tools).json()
    assert body["stop_reason"] == "tool_use"
    assert (body["content"][-1]["name"], body["content"][-1]["input"]) == ("add", {"a": 7})
    got = events(post(gateway, tools=tools, stream=True))
    parts = [data["delta"].get("partial_json", "") for name, data in got if "delta" in name[8:]]
    assert "".join(parts) == '{"a":7}'


@pytest.mark.parametrize("fault", ["cut", "reset", "error", "no-done"])
def test_a_broken_stream_has_no_normal_end(gateway: Gateway, vllm: Simulator, fault: str) -> None:
    vllm.control(fault=fault, after=4)
    got = events(post(gateway, stream=True))
    names = [name for name, _ in got]
    assert names[0] == "message_start"
    assert names[-1] == "error"
    assert "message_stop" not in names
    assert got[-1][1]["error"]["type"] == "api_error"


def test_errors_have_the_apis_own_form(gateway: Gateway, vllm: Simulator) -> None:
    answer = post(gateway, max_tokens="many")
    assert answer.status_code == 400
    body = answer.json()
    assert body["type"] == "error"
    assert (body["error"]["type"], body["error"]["param"]) == (
        "invalid_request_error",
        "max_tokens",
    )
    assert body["request_id"] == answer.headers["x-request-id"]
    wrong = HTTP.post(gateway.url + "/v1/messages", json=ASKED, headers={"x-api-key": "no"})
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (401, "authentication_error")
    vllm.control(status=503)
    busy = post(gateway)
    assert (busy.status_code, busy.json()["error"]["type"]) == (503, "overloaded_error")
    assert busy.headers["retry-after"]


def test_every_route_takes_the_key_where_anthropics_clients_put_it(gateway: Gateway) -> None:
    headers = {"x-api-key": gateway.key}
    for path in ("/v1/models", "/v1/models/r1-nano", "/v1/user/balance"):
        assert HTTP.get(gateway.url + path, headers=headers).status_code == 200, path
        assert HTTP.get(gateway.url + path, headers={"x-api-key": "no"}).status_code == 401
    # The standard's own header goes first.
    both = {**headers, "authorization": "Bearer no"}
    assert HTTP.get(gateway.url + "/v1/models", headers=both).status_code == 401


def test_tokens_are_counted_and_cost_nothing(gateway: Gateway, vllm: Simulator) -> None:
    body = {"model": "deepseek-r1", "messages": TURNS}
    path = gateway.url + "/v1/messages/count_tokens"
    answer = HTTP.post(path, json=body, headers=gateway.headers)
    # BOS, the user mark, the text, the assistant mark, <think>, line end.
    assert answer.json()["input_tokens"] == 17
    whole = post(gateway).json()["usage"]
    assert whole["input_tokens"] + whole["cache_read_input_tokens"] == 17


def test_more_than_the_context_is_made_to_fit(gateway: Gateway, vllm: Simulator) -> None:
    assert post(gateway, max_tokens=100_000).status_code == 200
    assert vllm.last()["max_tokens"] == 4096 - 17
