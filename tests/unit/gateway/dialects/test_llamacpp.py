"""llama.cpp's own server, as it spoke."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from gateway.model_settings import Defaults
from gateway.upstream.dialects import Facts
from gateway.upstream.dialects.llamacpp import LlamaCpp
from tests.unit.gateway.dialects.conftest import asked, events, texts

Recorded = Callable[[str], bytes]
DIALECT = LlamaCpp(opens_think=True)


def test_a_stream_whose_template_it_does_not_know(recorded: Recorded) -> None:
    request = asked(stream=True, stream_options={"include_usage": True})
    *chunks, usage = events(DIALECT, request, recorded("llamacpp-chat.sse"))
    reasoning, content = texts(chunks)
    assert reasoning.endswith("ends 2 ok\n")
    assert content == "\n\n\\boxed{2}"
    assert usage["usage"]["completion_tokens"] == 83
    assert "timings" not in usage
    assert {chunk["model"] for chunk in (*chunks, usage)} == {"r1"}


def test_a_stream_that_it_splits_by_itself() -> None:
    deltas = [{"role": "assistant", "content": None}, {"reasoning_content": "a</think>b"}]
    deltas += [{"content": "<think>c"}, {}]
    data = b"".join(
        b"data: %s\n\n"
        % orjson.dumps(
            {"choices": [{"index": 0, "delta": d, "finish_reason": None if d else "stop"}]}
        )
        for d in deltas
    )
    chunks = events(DIALECT, asked(stream=True), data + b"data: [DONE]\n\n")
    assert texts(chunks) == ("a</think>b", "<think>c")


def test_a_whole_answer(recorded: Recorded) -> None:
    data, usage = DIALECT.whole(recorded("llamacpp-chat.json"), asked(), "r1", None)
    body = orjson.loads(data)
    message = body["choices"][0]["message"]
    assert message["reasoning_content"].endswith("ends 2 ok\n")
    assert message["content"] == "\n\n\\boxed{2}"
    assert "timings" not in body
    assert (usage.prompt, usage.completion) == (8, 83)


def test_the_context_is_that_of_one_slot(recorded: Recorded) -> None:
    assert DIALECT.facts(orjson.loads(recorded("llamacpp-props.json"))) == Facts(2048)
    assert DIALECT.facts({}) == Facts()


def test_a_request() -> None:
    request = asked(
        max_completion_tokens=9, top_k=5, repetition_penalty=1.1, id_slot=3, lora=[], grammar="x"
    )
    body = DIALECT.body(request, "there", Defaults(temperature=0.6))
    assert (body["max_tokens"], body["temperature"], body["top_k"]) == (9, 0.6, 5)
    assert (body["repeat_penalty"], body["grammar"]) == (1.1, "x")
    assert body["reasoning_format"] == "deepseek"
    assert not body.keys() & {"id_slot", "lora", "return_token_ids", "repetition_penalty"}


def test_it_is_well_when_its_model_is_loaded() -> None:
    assert DIALECT.well(200, b'{"status":"ok"}', "m")
    assert not DIALECT.well(503, b'{"error":{"message":"Loading model"}}', "m")
    assert DIALECT.base("http://h:8080/v1") == "http://h:8080"
