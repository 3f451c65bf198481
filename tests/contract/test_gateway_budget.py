"""A bound on the reasoning of one answer: the think block is closed, and the answer follows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.stack import HTTP, Gateway, Simulator, read_stream, stream, wait_for

REASONING = "First the units: 7+5=12. Let me check that again, to be sure."
CONTENT = "\\boxed{12}"
# The simulator's tokens are bytes, and one line end of R1's template is in the think block.
BUDGET = 17
KEPT = REASONING[: BUDGET - 1]


@pytest.fixture(autouse=True)
def talkative(vllm: Simulator) -> None:
    vllm.control(reasoning=REASONING, content=CONTENT)


def ask(gateway: Gateway, *, streamed: bool, **body: Any) -> tuple[str, str, str, dict[str, Any]]:
    """Reasoning, content, finish reason and usage of an answer."""
    body = {"temperature": 0, **body}
    if not streamed:
        answer = gateway.post(**body).json()
        message = answer["choices"][0]["message"]
        finish, usage = answer["choices"][0]["finish_reason"], answer["usage"]
        return message["reasoning_content"], message["content"] or "", finish, usage
    with stream(gateway, stream_options={"include_usage": True}, **body) as response:
        *chunks, done = read_stream(response)
    assert done == "[DONE]"
    *some, last = [json.loads(chunk) for chunk in chunks]
    deltas = [chunk["choices"][0]["delta"] for chunk in some]
    return (
        "".join(delta["reasoning_content"] or "" for delta in deltas),
        "".join(delta["content"] or "" for delta in deltas),
        some[-1]["choices"][0]["finish_reason"],
        last["usage"],
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_the_think_block_is_closed_and_the_answer_follows(
    gateway: Gateway, vllm: Simulator, streamed: bool
) -> None:
    before = gateway.value("r1_tokens_total", kind="completion")
    reasoning, content, finish, usage = ask(gateway, streamed=streamed, max_reasoning_tokens=BUDGET)
    assert (reasoning, content, finish) == (KEPT, CONTENT, "stop")
    assert usage["completion_tokens_details"] == {"reasoning_tokens": len(KEPT)}
    assert len(KEPT) < BUDGET
    # The reasoning, the mark, the answer and its end: one generation, counted once.
    whole = len(KEPT) + 1 + len(CONTENT) + 1
    assert usage["completion_tokens"] == whole
    assert len(vllm.seen()["seen"]) == 1
    wait_for(
        lambda: gateway.value("r1_tokens_total", kind="completion") == before + whole, "the usage"
    )


def test_one_that_is_large_enough_changes_nothing(gateway: Gateway, vllm: Simulator) -> None:
    assert ask(gateway, streamed=False, max_reasoning_tokens=1000)[:2] == (REASONING, CONTENT)
    assert ask(gateway, streamed=False, max_reasoning_tokens=None)[:2] == (REASONING, CONTENT)
    assert "max_reasoning_tokens" not in vllm.last()


def test_max_tokens_bounds_the_whole(gateway: Gateway, vllm: Simulator) -> None:
    reasoning, content, finish, usage = ask(
        gateway, streamed=True, max_reasoning_tokens=BUDGET, max_tokens=BUDGET + 4
    )
    assert (reasoning, content, finish) == (KEPT, CONTENT[:4], "length")
    assert usage["completion_tokens"] == BUDGET + 4


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", True])
def test_what_is_no_bound_is_refused(gateway: Gateway, value: Any) -> None:
    answer = gateway.post(max_reasoning_tokens=value)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "max_reasoning_tokens"


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
def test_apis_that_have_no_such_bound_say_so(gateway: Gateway, path: str) -> None:
    body = {"input": "7+5", "max_tokens": 9, "max_reasoning_tokens": 5}
    answer = HTTP.post(
        gateway.url + path,
        json={"model": "r1-nano", "messages": [{"role": "user", "content": "7+5"}], **body},
        headers=gateway.headers,
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "max_reasoning_tokens"
