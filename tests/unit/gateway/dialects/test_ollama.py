"""Ollama's own API, as Ollama 0.17.4 spoke it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.errors import UpstreamFailed, UpstreamUnfit
from gateway.model_settings import Defaults
from gateway.upstream.dialects import Facts
from gateway.upstream.dialects.ollama import Ollama, models
from tests.unit.gateway.dialects.conftest import asked, events, texts

Recorded = Callable[[str], bytes]
DIALECT = Ollama(opens_think=False)
NONE = Defaults()
WORKING = "check 1+1 ends 2 ok\n"


def test_a_stream(recorded: Recorded) -> None:
    request = asked(stream=True, stream_options={"include_usage": True})
    *chunks, usage = events(DIALECT, request, recorded("ollama-chat.ndjson"))
    reasoning, content = texts(chunks)
    assert reasoning.endswith(WORKING)
    assert content == "\\boxed{2}"
    assert {chunk["model"] for chunk in (*chunks, usage)} == {"r1"}
    assert len({chunk["id"] for chunk in (*chunks, usage)}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]
    assert usage["usage"] == {"prompt_tokens": 8, "completion_tokens": 83, "total_tokens": 91}
    assert usage["choices"] == []


def test_usage_and_reasoning_only_where_they_are_wanted(recorded: Recorded) -> None:
    request = asked(stream=True, include_reasoning=False)
    chunks = events(DIALECT, request, recorded("ollama-chat.ndjson"))
    assert texts(chunks) == ("", "\\boxed{2}")
    assert all(chunk["choices"] for chunk in chunks)


def test_a_whole_answer(recorded: Recorded) -> None:
    data, usage = DIALECT.whole(recorded("ollama-chat.json"), asked(), "r1", None)
    body = orjson.loads(data)
    (choice,) = body["choices"]
    assert choice["message"]["content"] == "\\boxed{2}"
    assert choice["message"]["reasoning_content"].endswith(WORKING)
    assert (choice["finish_reason"], body["object"]) == ("stop", "chat.completion")
    assert (usage.prompt, usage.completion, usage.reasoning) == (8, 83, 0)


def test_an_answer_cut_by_its_limit(recorded: Recorded) -> None:
    chunks = events(DIALECT, asked(stream=True), recorded("ollama-cut.ndjson"))
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_raw_marks_are_split_here(recorded: Recorded) -> None:
    dialect = Ollama(opens_think=True)
    reasoning, content = texts(
        events(dialect, asked(stream=True), recorded("ollama-raw.ndjson"), size=3)
    )
    assert reasoning.endswith(WORKING)
    assert content == "\n\n\\boxed{2}"


def test_a_text_completion(recorded: Recorded) -> None:
    request = asked("completions", stream=True)
    chunks = events(DIALECT, request, recorded("ollama-generate.ndjson"))
    text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
    assert text.endswith(WORKING + "</think>\n\n\\boxed{2}")
    assert chunks[0]["object"] == "text_completion"


@pytest.mark.parametrize(
    "line",
    [
        b'{"error":"llama runner process has terminated"}',
        b'{"done":true}',
        b"[]",
        b"half",
        # What it sends with status 200 when it stops a model that repeats itself.
        b'{"model":"m","created_at":"2026-11-22T23:45:15.68Z","response":"1111","done":false}',
    ],
)
def test_what_is_no_answer(line: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        DIALECT.whole(line, asked(), "r1", None)


def test_the_list_tells_which_models_it_has(recorded: Recorded) -> None:
    tags = recorded("ollama-tags.json")
    assert DIALECT.well(200, tags, "r1-distill-nano:f32")
    assert not DIALECT.well(200, tags, "r1-distill-nano")
    assert not DIALECT.well(500, tags, "r1-distill-nano:f32")
    assert len(models(tags)["r1-distill-nano:f32"]) == 64
    assert DIALECT.well(200, b'{"models":[{"name":"hf.co:80/x/y:latest"}]}', "hf.co:80/x/y")
    for wrong in (b"", b"[]", b'{"models":null}', b'{"models":[1]}'):
        assert models(wrong) == {}


def test_the_context_is_what_the_modelfile_sets(recorded: Recorded) -> None:
    assert DIALECT.facts(orjson.loads(recorded("ollama-show.json"))) == Facts(4096)
    assert DIALECT.facts({}) == Facts()


def body(**fields: Any) -> dict[str, Any]:
    return DIALECT.body(asked(**fields), "there", Defaults(temperature=0.6, top_p=0.95))


def test_a_request() -> None:
    assert body(max_tokens=9, stop="x", top_k=5, repetition_penalty=1.1, temperature=0, seed=3) == {
        "model": "there",
        "stream": False,
        "messages": [{"role": "user", "content": "1+1"}],
        "options": {
            "temperature": 0,
            "top_p": 0.95,
            "top_k": 5,
            "seed": 3,
            "repeat_penalty": 1.1,
            "stop": ["x"],
            "num_predict": 9,
        },
        "truncate": False,
        "shift": False,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": {"type": "disabled"}},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"chat_template_kwargs": {"thinking": False}},
        {"reasoning_effort": "none"},
    ],
)
def test_thinking_can_be_switched_off(fields: dict[str, Any]) -> None:
    assert body(**fields)["think"] is False


def test_formats_tools_and_log_probabilities() -> None:
    schema = {"type": "object"}
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert body(response_format={"type": "json_object"})["format"] == "json"
    assert body(response_format=named)["format"] == schema
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert body(tools=tools)["tools"] == tools
    assert "tools" not in body(tools=tools, tool_choice="none")
    assert body(logprobs=True, top_logprobs=2)["top_logprobs"] == 2


def test_messages() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    sent = body(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "what"}, image]},
            {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
        ]
    )["messages"]
    assert sent == [
        {"role": "user", "content": "what", "images": ["AAAA"]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
        },
        {"role": "tool", "content": "1", "tool_call_id": "a"},
    ]


def test_tool_calls_come_back_as_openai_has_them() -> None:
    line = {
        "created_at": "2026-11-22T23:45:15.68Z",
        "message": {
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
        },
        "done": True,
        "done_reason": "stop",
    }
    data = orjson.dumps(line) + b"\n"
    (chunk,) = events(DIALECT, asked(stream=True), data)
    (choice,) = chunk["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["delta"]["content"] is None
    (call,) = choice["delta"]["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": '{"x":1}'}
    whole = orjson.loads(DIALECT.whole(data, asked(), "r1", None)[0])
    assert whole["choices"][0]["finish_reason"] == "tool_calls"


TOOLS = [{"type": "function", "function": {"name": "f"}}]
# Its arguments are no JSON.
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"tool_choice": "required", "tools": TOOLS}, "tool_choice"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALL]}]}, "messages"),
    ],
)
def test_what_it_cannot_do_is_said(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UpstreamUnfit) as told:
        body(**fields)
    assert told.value.param == param


def test_completions_are_raw_and_of_one_text() -> None:
    sent = DIALECT.body(asked("completions", max_tokens=4), "there", NONE)
    assert (sent["prompt"], sent["raw"], sent["think"]) == ("1+1=", True, False)
    for prompt in ([1, 2], ["a", "b"]):
        with pytest.raises(UpstreamUnfit):
            DIALECT.body(asked("completions", prompt=prompt), "there", NONE)


def test_its_address() -> None:
    assert DIALECT.base("http://h:11434/v1") == DIALECT.base("http://h:11434") == "http://h:11434"
