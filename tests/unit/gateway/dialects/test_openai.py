"""Any OpenAI API; the answers below have the fields that DeepSeek documents for its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.model_settings import Defaults
from gateway.protocol.heard import Heard
from gateway.upstream.dialects.openai import OpenAi
from tests.unit.gateway.dialects.conftest import asked, events, texts

DIALECT = OpenAi(opens_think=False)
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_cache_hit_tokens": 16,
    "prompt_cache_miss_tokens": 4,
    "completion_tokens_details": {"reasoning_tokens": 6},
}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    frame = {"id": "a1", "object": "chat.completion.chunk", "created": 1, "model": "deepseek-v3"}
    return b"data: %s\n\n" % orjson.dumps({**frame, "choices": [choice], **more})


STREAM = b"".join(
    [
        b": keep-alive\n\n\n\n",
        chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
        chunk({"content": None, "reasoning_content": "one and one"}),
        b": keep-alive\n\n",
        chunk({"content": "two", "reasoning_content": None}),
        # The usage comes with the last choice.
        chunk({"content": "", "reasoning_content": None}, "stop", usage=USAGE),
        b"data: [DONE]\n\n",
    ]
)


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_a_stream(size: int) -> None:
    request = asked(stream=True, stream_options={"include_usage": True})
    *chunks, usage = events(DIALECT, request, STREAM, size)
    assert texts(chunks) == ("one and one", "two")
    assert usage["usage"] == USAGE
    assert all("usage" not in each for each in chunks)


def test_what_was_used_is_known_without_being_shown() -> None:
    stream = DIALECT.stream(asked(stream=True), "r1", None)
    pieces = [stream.event(each) for each in DIALECT.splitter().feed(STREAM)]
    assert b"prompt_tokens" not in b"".join(piece.data for piece in pieces)
    usage = stream.usage
    assert (usage.prompt, usage.completion, usage.reasoning, usage.cached) == (20, 9, 6, 16)


def test_a_whole_answer_after_blank_lines() -> None:
    message = {"role": "assistant", "content": "two", "reasoning_content": "one and one"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}
    data, usage = DIALECT.whole(b"\n\n\n" + orjson.dumps(body), asked(), "r1", None)
    answer = orjson.loads(data)
    assert answer["choices"][0]["message"] == message
    assert (answer["model"], answer["usage"]) == ("r1", USAGE)
    assert usage.reasoning == 6
    hidden, _ = DIALECT.whole(orjson.dumps(body), asked(include_reasoning=False), "r1", None)
    assert orjson.loads(hidden)["choices"][0]["message"]["reasoning_content"] is None


def test_reasoning_and_content_in_one_event_are_two() -> None:
    data = (
        chunk({"role": "assistant", "content": "<think>a</think>b"}, "stop") + b"data: [DONE]\n\n"
    )
    first, second = events(DIALECT, asked(stream=True), data)
    assert texts([first, second]) == ("a", "b")
    assert first["choices"][0]["delta"]["role"] == "assistant"
    finishes = [each["choices"][0]["finish_reason"] for each in (first, second)]
    assert finishes == [None, "stop"]


def test_only_known_fields_are_sent() -> None:
    request = asked(
        top_k=5,
        min_p=0.1,
        chat_template_kwargs={"thinking": True},
        store=True,
        thinking={"type": "enabled"},
        max_tokens=9,
        tools=[],
        messages=[{"role": "assistant", "content": "x", "reasoning_content": "y", "prefix": True}],
    )
    body = DIALECT.body(request, "deepseek-reasoner", Defaults(temperature=0.6))
    assert body == {
        "model": "deepseek-reasoner",
        "messages": [
            {"role": "assistant", "content": "x", "reasoning_content": "y", "prefix": True}
        ],
        "temperature": 0.6,
        "thinking": {"type": "enabled"},
        "max_tokens": 9,
        "tools": [],
    }
    streamed = DIALECT.body(asked("completions", stream=True, top_k=1), "m", Defaults())
    assert streamed == {
        "model": "m",
        "prompt": "1+1=",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_its_address_is_what_clients_have_as_base_url() -> None:
    assert DIALECT.base("https://api.deepseek.com") == "https://api.deepseek.com/v1"
    assert DIALECT.base("https://api.deepseek.com/v1") == "https://api.deepseek.com/v1"
    assert DIALECT.base("https://vendor/api/v4") == "https://vendor/api/v4"


def test_it_is_well_unless_it_fails_or_refuses_the_key() -> None:
    verdicts = {status: DIALECT.well(status, b"", "m") for status in (200, 404, 429, 401, 402, 500)}
    assert [status for status, well in verdicts.items() if not well] == [401, 402, 500]


def test_a_stream_of_several_prompts_ends_with_the_last_one() -> None:
    stream = DIALECT.stream(asked("completions", prompt=["a", "b"], stream=True), "r1", None)
    for index in (0, 1):
        assert not stream.finished
        choice = {"index": index, "text": "x", "finish_reason": "stop"}
        stream.event(orjson.dumps({"id": "a", "choices": [choice]}))
    assert stream.finished


def test_the_language_guard_hears_the_answer() -> None:
    heard = Heard(keeps=True, loop=None)
    request = replace(asked(stream=True), heard=heard)
    events(DIALECT, request, STREAM)
    assert heard.text == "one and onetwo"
