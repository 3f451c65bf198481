"""What is read and changed in answers of responses and messages, and errors in their forms."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from gateway.errors import InvalidRequest, UpstreamFailed, UpstreamLost, UpstreamRejected
from gateway.protocol.faults import error_body, error_event
from gateway.protocol.messages import MessagesStream, read_message, read_token_count
from gateway.protocol.request import Asked, parse, prepare
from gateway.protocol.responses import ResponsesStream, read_response

USAGE = {
    "input_tokens": 10,
    "output_tokens": 20,
    "total_tokens": 30,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 0},
}
OUTPUT = [
    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "a" * 30}]},
    {"type": "message", "content": [{"type": "output_text", "text": "b" * 8}]},
    {"type": "function_call", "arguments": "cc"},
]
RESPONSE = {"model": "served", "status": "completed", "output": OUTPUT, "usage": USAGE}


def ask(api: Any = "responses", **body: Any) -> Asked:
    start = {"model": "m", "input": "hi", "messages": [{"role": "user", "content": "hi"}]}
    return parse(json.dumps({**start, "max_tokens": 5, **body}).encode(), api, max_depth=16)


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


class TestResponses:
    def test_whole(self) -> None:
        data, usage = read_response(dumps({**RESPONSE, "kv_transfer_params": {"a": 1}}), ask(), "m")
        body = json.loads(data)
        assert body["model"] == "m"
        assert "kv_transfer_params" not in body
        assert (usage.prompt, usage.completion, usage.cached) == (10, 20, 4)
        # 30 of 40 characters are reasoning.
        assert usage.reasoning == 15
        assert body["usage"]["output_tokens_details"]["reasoning_tokens"] == 15

    def test_the_engines_own_count_is_kept(self) -> None:
        counted = {**USAGE, "output_tokens_details": {"reasoning_tokens": 7}}
        assert read_response(dumps({**RESPONSE, "usage": counted}), ask(), "m")[1].reasoning == 7

    @pytest.mark.parametrize("data", [b"{", b"[]", b'{"output": null}'])
    def test_what_is_no_response_is_a_fault(self, data: bytes) -> None:
        with pytest.raises(UpstreamFailed):
            read_response(data, ask(), "m")
        with pytest.raises(UpstreamFailed):
            read_response(dumps({**RESPONSE, "status": "failed"}), ask(), "m")

    def test_events(self) -> None:
        asked = ask(stream=True)
        stream = ResponsesStream(asked, "m")
        created = {"type": "response.created", "sequence_number": 0, "response": {"model": "x"}}
        data = stream.event(dumps(created)).data
        assert data.startswith(b"event: response.created\ndata: {")
        assert json.loads(data.split(b"data: ")[1])["response"]["model"] == "m"
        delta = dumps({"type": "response.output_text.delta", "sequence_number": 1, "delta": "a"})
        piece = stream.event(delta)
        assert (piece.tokens, piece.content, piece.end) == (1, True, False)
        assert piece.data == b"event: response.output_text.delta\ndata: " + delta + b"\n\n"
        # What a cut stream cost is known so far as it came.
        assert stream.usage.completion == 1
        assert asked.sequence == 2
        usage = stream.usage
        last = stream.event(dumps({"type": "response.completed", "response": RESPONSE}))
        assert last.end
        assert stream.finished
        # The call holds on to the object that it was given first.
        assert usage is stream.usage
        assert usage.completion == 20

    @pytest.mark.parametrize(
        "event",
        [
            {"error": {"message": "inner", "code": 500}},
            {"type": "error", "message": "inner"},
            {"type": "response.failed", "response": {}},
            {"data": 1},
        ],
    )
    def test_faults(self, event: dict[str, Any]) -> None:
        with pytest.raises(UpstreamFailed) as fault:
            ResponsesStream(ask(stream=True), "m").event(dumps(event))
        assert "inner" not in fault.value.message

    def test_an_end_without_the_last_event_is_none(self) -> None:
        stream = ResponsesStream(ask(stream=True), "m")
        assert stream.event(b"[DONE]").end
        assert not stream.finished

    def test_nothing_is_stored(self) -> None:
        body = prepare(ask(store=False), model="served", temperature=0.6, top_p=None)
        assert (body["store"], body["model"], body["temperature"]) == (False, "served", 0.6)
        for field in ("store", "background", "previous_response_id", "conversation"):
            with pytest.raises(InvalidRequest) as refusal:
                ask(**{field: True})
            assert refusal.value.param == field


class TestMessages:
    BODY: ClassVar[dict[str, Any]] = {
        "model": "served",
        "content": [{"type": "thinking", "thinking": "aaa"}, {"type": "text", "text": "b"}],
        "usage": {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 8},
    }

    def test_whole(self) -> None:
        data, usage = read_message(dumps(self.BODY), ask("messages"), "m")
        assert json.loads(data)["model"] == "m"
        assert (usage.prompt, usage.cached, usage.completion) == (10, 4, 8)
        assert usage.reasoning == 6

    def test_counts(self) -> None:
        data, usage = read_token_count(b'{"input_tokens": 7}')
        assert data == b'{"input_tokens": 7}'
        assert usage.prompt == 0
        for wrong in (b"{}", b"[]", b"x"):
            with pytest.raises(UpstreamFailed):
                read_token_count(wrong)

    def test_events(self) -> None:
        stream = MessagesStream(ask("messages", stream=True), "m")
        usage = {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 0}
        start = {"type": "message_start", "message": {"model": "x", "usage": usage}}
        assert b'"model":"m"' in stream.event(dumps(start)).data
        delta = {"type": "content_block_delta", "delta": {"thinking": "abc"}}
        piece = stream.event(dumps(delta))
        assert (piece.tokens, piece.content) == (1, False)
        delta = {"type": "content_block_delta", "delta": {"text": "d"}}
        assert stream.event(dumps(delta)).content
        assert (stream.usage.prompt, stream.usage.completion) == (10, 2)
        signature = {"type": "content_block_delta", "delta": {"signature": "f"}}
        assert stream.event(dumps(signature)).tokens == 0
        end = {"type": "message_delta", "delta": {}, "usage": {**usage, "output_tokens": 8}}
        stream.event(dumps(end))
        assert (stream.usage.completion, stream.usage.reasoning) == (8, 6)
        assert not stream.finished
        assert stream.event(b'{"type": "message_stop"}').end
        assert stream.finished

    def test_faults(self) -> None:
        stream = MessagesStream(ask("messages", stream=True), "m")
        inner = {"type": "error", "error": {"type": "internal_error", "message": "inner"}}
        with pytest.raises(UpstreamFailed) as fault:
            stream.event(dumps(inner))
        assert "inner" not in fault.value.message
        refusal = {"type": "error", "error": {"type": "BadRequestError", "message": "too hot"}}
        with pytest.raises(UpstreamRejected, match="too hot"):
            stream.event(dumps(refusal))
        for wrong in (b"{", b"[]", b"{}"):
            with pytest.raises(UpstreamFailed):
                stream.event(wrong)


class TestErrors:
    LOST = UpstreamLost("Gone.")

    def test_openai(self) -> None:
        told = json.loads(error_body(self.LOST, "responses", "id"))
        assert told == self.LOST.body()
        assert error_event(self.LOST, "chat", "id", 0) == b"data: " + self.LOST.json() + b"\n\n"

    def test_responses(self) -> None:
        name, data = error_event(self.LOST, "responses", "id", 7).decode().strip().split("\n")
        event = json.loads(data[6:])
        assert (name, event["type"], event["sequence_number"]) == ("event: error", "error", 7)
        assert event["error"]["code"] == event["code"] == "upstream_lost"

    def test_anthropic(self) -> None:
        refusal = InvalidRequest("'x' must be y.", param="x")
        told = json.loads(error_body(refusal, "count_tokens", "id"))
        assert told["error"]["type"] == "invalid_request_error"
        assert (told["type"], told["error"]["param"], told["request_id"]) == ("error", "x", "id")
        event = error_event(self.LOST, "messages", "id", 0)
        assert event.startswith(b'event: error\ndata: {"type":"error"')
        assert b"[DONE]" not in event
