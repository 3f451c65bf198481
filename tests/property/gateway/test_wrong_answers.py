"""Whatever a model server answers, it is an answer or it is its own fault; never a crash."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UpstreamError
from gateway.protocol import sse
from gateway.protocol.request import Api, parse
from gateway.protocol.usage import Usage
from gateway.upstream.dialects import Dialect
from gateway.upstream.dialects.llamacpp import LlamaCpp
from gateway.upstream.dialects.ollama import Ollama
from gateway.upstream.dialects.openai import OpenAi
from gateway.upstream.dialects.vllm import Vllm
from gateway.upstream.faults import UNREADABLE
from tests.property.gateway.test_malformed import JSON, JUNK, VALID, places

USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 4,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 2},
    "input_tokens": 5,
    "output_tokens": 4,
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens_details": {"reasoning_tokens": 2},
    "cache_read_input_tokens": 1,
}
SAID = {"role": "assistant", "content": "12", "reasoning": "7+5", "tool_calls": []}
CHOICE = {
    "index": 0,
    "message": SAID,
    "delta": SAID,
    "text": "12",
    "token_ids": [1, 2],
    "finish_reason": "stop",
    "logprobs": {"content": []},
}
PART = {"type": "output_text", "text": "12", "thinking": "7+5"}
OUTPUT = [{"type": "message", "content": [PART]}]
ANSWER: dict[str, Any] = {
    "id": "a",
    "model": "m",
    "choices": [CHOICE],
    "usage": USAGE,
    "prompt_token_ids": [1, 2, 3],
    "output": OUTPUT,
    "status": "completed",
    "response": {"output": OUTPUT, "usage": USAGE, "model": "m"},
    "content": [PART],
    "input_tokens": 5,
    "message": {**SAID, "usage": USAGE},
    "delta": {"text": "12", "thinking": "7+5"},
    "type": "response.completed",
    "done": True,
    "created_at": "2026-01-01T00:00:00Z",
    "prompt_eval_count": 5,
    "eval_count": 4,
    "sequence_number": 3,
}
KINDS = st.sampled_from(
    [
        *(
            "response.completed",
            "response.created",
            "response.output_text.delta",
            "response.failed",
        ),
        *("content_block_delta", "message_start", "message_delta", "message_stop", "error"),
        *("x\n\ndata: [DONE]\n\n", "\r", "é.delta", "", "x" * 200, "a b"),
    ]
)
PAIRS: list[tuple[Dialect, Api]] = [
    *((Vllm(), api) for api in VALID),
    (OpenAi(opens_think=True), "chat"),
    (LlamaCpp(opens_think=False), "completions"),
    (Ollama(opens_think=False), "chat"),
]


def spoilt(data: st.DataObject) -> bytes:
    """An answer that would do for all APIs at once, with up to three parts of it replaced."""
    answer = deepcopy(ANSWER)
    answer["type"] = data.draw(KINDS)
    for _ in range(data.draw(st.integers(0, 3))):
        *way, last = data.draw(st.sampled_from(places(answer)))
        inner: Any = answer
        for step in way:
            inner = inner[step]
        inner[last] = deepcopy(data.draw(st.sampled_from(JUNK) | JSON))
    return json.dumps(answer).encode()


def check(usage: Usage) -> None:
    """What goes into budgets: whole numbers, no gifts."""
    for count in (usage.prompt, usage.completion, usage.reasoning, usage.cached):
        assert isinstance(count, int)
        assert 0 <= count < 2**42


@settings(max_examples=400)
@given(st.data(), st.sampled_from(PAIRS), st.booleans())
def test_an_answer_is_read_or_refused(
    data: st.DataObject, pair: tuple[Dialect, Api], reasoning: bool
) -> None:
    dialect, api = pair
    given_body = {**VALID[api], "include_reasoning": reasoning}
    asked = parse(json.dumps(given_body).encode(), api, max_depth=20)
    try:
        body, usage = dialect.whole(spoilt(data), asked, "m", 3)
    except (UpstreamError, *UNREADABLE):
        return
    json.loads(body)
    check(usage)


@settings(max_examples=400)
@given(st.data(), st.sampled_from(PAIRS))
def test_events_are_read_or_refused(data: st.DataObject, pair: tuple[Dialect, Api]) -> None:
    dialect, api = pair
    asked = parse(json.dumps({**VALID[api], "stream": True}).encode(), api, max_depth=20)
    stream = dialect.stream(asked, "m", 3)
    for _ in range(3):
        try:
            piece = stream.event(spoilt(data))
        except (UpstreamError, *UNREADABLE):
            return
        check(stream.usage)
        # Each event that goes out is one: a name at most, and one line of JSON.
        for event in piece.data.split(b"\n\n")[:-1]:
            name, line = event.split(b"\n") if event.startswith(b"event: ") else (b"", event)
            assert b"\r" not in name
            assert line.startswith(b"data: ")
            assert line == b"data: [DONE]" or json.loads(line[6:]) is not None


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a\r", "é", "x" * 101, "a:b"])
def test_what_is_no_name_of_an_event(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        sse.named_event(name, b"{}")


def test_line_ends_between_the_parts_of_json_are_blanks() -> None:
    assert sse.named_event("a.b", b'{"a":\n1}') == b'event: a.b\ndata: {"a": 1}\n\n'
