"""Requests read and prepared, events cut, answers translated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import InvalidRequest, UpstreamFailed, UpstreamRejected
from gateway.protocol import sse
from gateway.protocol.answer import translate_body
from gateway.protocol.chat_stream import ChatStream
from gateway.protocol.clamp import Fit, decide, largest, prompt_token_bound
from gateway.protocol.reasoning import ReasoningCounter, count
from gateway.protocol.request import STRIPPED, Asked, parse, prepare
from gateway.protocol.text_stream import CompletionStream

END = 3


def ask(api: Any = "chat", **body: Any) -> Asked:
    start: dict[str, Any] = {"model": "m"}
    if api == "chat":
        start["messages"] = [{"role": "user", "content": "hi"}]
    else:
        start["prompt"] = "hi"
    return parse(json.dumps({**start, **body}).encode(), api, max_depth=16)


def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"id": "1", "model": "x", "choices": list(choices), **more}).encode()


def choice(delta: dict[str, Any], ids: list[int] | None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "token_ids": ids, "finish_reason": None, **more}


def sent(data: bytes) -> list[dict[str, Any]]:
    scanner = sse.EventScanner()
    return [json.loads(event) for event in scanner.feed(data)]


class TestEvents:
    def test_lines_may_end_in_any_way(self) -> None:
        for end in (b"\n", b"\r\n", b"\r"):
            scanner = sse.EventScanner()
            data = (
                b": comment" + end * 2 + b"event: x" + end + b"data:1" + end + b"data: 2" + end * 2
            )
            got = scanner.feed(data + b"data: 3" + end * 2 + b":" + end)
            assert got == [b"1\n2", b"3"]

    @pytest.mark.parametrize("line", [b"\xff\xffta: 2", b"ata: 2", b'error: {"code":500}', b"2"])
    def test_a_line_that_is_none_of_an_event_is_not_dropped(self, line: bytes) -> None:
        scanner = sse.EventScanner()
        with pytest.raises(sse.NotAnEvent):
            scanner.feed(b"data: 1\n\n" + line + b"\n\ndata: 3\n\n")

    def test_the_other_fields_of_the_standard_are_dropped(self) -> None:
        lines = b"id: 7\nevent: x\nretry: 10\n: ping\ndata: 1\n\n\nid\n\n"
        assert sse.EventScanner().feed(lines) == [b"1"]

    def test_an_event_without_end_is_held_up_to_a_bound(self) -> None:
        scanner = sse.EventScanner(limit=10)
        assert scanner.feed(b"data: 123") == []
        assert scanner.pending
        with pytest.raises(sse.EventTooLarge):
            scanner.feed(b"4567890")


class TestRequest:
    def test_what_is_read(self) -> None:
        asked = ask(stream=True, stream_options={"include_usage": True}, max_tokens=5)
        assert (asked.stream, asked.usage, asked.max_tokens, asked.reasoning) == (
            True,
            True,
            5,
            True,
        )
        assert ask(max_tokens=5, max_completion_tokens=7).max_tokens == 7
        assert ask(stream=None, max_tokens=None).max_tokens is None

    def test_brackets_in_texts_are_not_depth(self) -> None:
        ask(messages=[{"role": "user", "content": "[" * 500 + "{" * 500}])
        deep: Any = []
        for _ in range(20):
            deep = [deep]
        with pytest.raises(InvalidRequest, match="16 levels"):
            ask(metadata=deep)

    def test_what_is_prepared(self) -> None:
        asked = ask(**dict.fromkeys(STRIPPED - {"return_token_ids", "include_reasoning"}, 1))
        before = dict(asked.body)
        body = prepare(asked, model="served", temperature=0.6, top_p=0.95)
        assert not (STRIPPED - {"return_token_ids"}) & body.keys()
        assert body["model"] == "served"
        assert (body["temperature"], body["top_p"]) == (0.6, 0.95)
        assert asked.body == before

    def test_silence_about_defaults_stays_silence(self) -> None:
        body = prepare(ask(), model="m", temperature=None, top_p=None)
        assert not {"temperature", "top_p", "stream_options"} & body.keys()

    def test_a_null_limit_of_a_completion_is_left_out(self) -> None:
        asked = ask("completions", max_tokens=None)
        assert "max_tokens" not in prepare(asked, model="m", temperature=None, top_p=None)

    def test_both_names_of_reasoning_are_understood(self) -> None:
        messages = [
            {"role": "assistant", "reasoning_content": "a"},
            {"role": "assistant", "reasoning": "b"},
            {"role": "assistant", "reasoning_content": None, "content": "c"},
        ]
        asked = ask(messages=messages)
        body = prepare(asked, model="m", temperature=None, top_p=None)
        assert body["messages"] == [
            {"role": "assistant", "reasoning": "a"},
            {"role": "assistant", "reasoning": "b"},
            {"role": "assistant", "content": "c"},
        ]


class TestReasoningCount:
    def test_whole(self) -> None:
        assert count([9, 9, END, 8], END) == 2
        assert count([9, 9], END) == 2
        assert count([END], END) == 0

    def test_without_the_marks_id_text_decides(self) -> None:
        counter = ReasoningCounter(None)
        counter.feed([1, 2], reasoning=True, content=False)
        counter.feed([3], reasoning=False, content=False)
        counter.feed([4, 5], reasoning=False, content=True)
        counter.feed([6], reasoning=True, content=False)
        assert counter.tokens == 3

    def test_an_answer_without_reasoning_counts_none(self) -> None:
        counter = ReasoningCounter(END)
        counter.feed([7], reasoning=False, content=True)
        counter.feed([8], reasoning=False, content=True)
        assert counter.tokens == 0


class TestChatStream:
    def test_a_piece_across_the_mark_is_cut_in_two(self) -> None:
        stream = ChatStream(ask(stream=True, return_token_ids=True), "m", END)
        logprobs = {"content": [{"token": t} for t in ("a", "</think>", "b")]}
        both = choice(
            {"reasoning": "a", "content": "b"},
            [1, END, 2],
            logprobs=logprobs,
            finish_reason="stop",
            stop_reason=None,
        )
        first, second = [each["choices"][0] for each in sent(stream.event(chunk(both)).data)]
        assert first["delta"] == {"content": None, "reasoning_content": "a"}
        assert second["delta"] == {"content": "b", "reasoning_content": None}
        assert (first["finish_reason"], second["finish_reason"]) == (None, "stop")
        assert (first["token_ids"], second["token_ids"]) == ([1, END], [2])
        assert [each["token"] for each in first["logprobs"]["content"]] == ["a", "</think>"]
        assert [each["token"] for each in second["logprobs"]["content"]] == ["b"]
        assert stream.usage.reasoning == 1
        assert stream.finished

    def test_the_lone_mark_is_not_sent(self) -> None:
        stream = ChatStream(ask(stream=True), "m", END)
        piece = stream.event(chunk(choice({}, [END])))
        assert (piece.data, piece.tokens) == (b"", 1)

    def test_hidden_reasoning_is_not_told_by_log_probabilities(self) -> None:
        stream = ChatStream(ask(stream=True, include_reasoning=False, logprobs=True), "m", END)
        logprobs = {"content": [{"token": "secret"}, {"token": "</think>"}, {"token": "b"}]}
        data = chunk(choice({"reasoning": "secret"}, [1], logprobs=logprobs))
        assert stream.event(data).data == b""
        both = choice({"reasoning": "secret", "content": "b"}, [1, END, 2], logprobs=logprobs)
        (shown,) = sent(stream.event(chunk(both)).data)
        assert shown["choices"][0]["logprobs"]["content"] == [{"token": "b"}]
        assert "secret" not in json.dumps(shown)
        assert stream.usage.reasoning == 2

    def test_tool_calls_pass_through(self) -> None:
        stream = ChatStream(ask(stream=True), "m", END)
        calls = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]
        piece = stream.event(chunk(choice({"tool_calls": calls}, [5])))
        (event,) = sent(piece.data)
        assert event["choices"][0]["delta"]["tool_calls"] == calls
        assert piece.content

    @pytest.mark.parametrize("data", [b"{", b"[]", b'{"choices": null}', b"{}"])
    def test_what_is_no_event_is_a_fault(self, data: bytes) -> None:
        with pytest.raises(UpstreamFailed):
            ChatStream(ask(stream=True), "m", END).event(data)

    def test_error_events(self) -> None:
        stream = ChatStream(ask(stream=True), "m", END)
        with pytest.raises(UpstreamFailed) as fault:
            stream.event(b'{"error": {"message": "inner", "code": 500}}')
        assert "inner" not in fault.value.message
        with pytest.raises(UpstreamRejected) as refusal:
            stream.event(b'{"error": {"message": "bad grammar", "code": 400, "param": "x"}}')
        assert (refusal.value.message, refusal.value.param) == ("bad grammar", "x")
        with pytest.raises(UpstreamFailed):
            stream.event(b'{"error": "boom"}')


def test_a_batch_of_completions_is_finished_when_all_are() -> None:
    stream = CompletionStream(ask("completions", prompt=["a", "b"], n=2), "m")
    for index in range(4):
        assert not stream.finished
        stream.event(chunk({"index": index, "text": "x", "finish_reason": "stop"}))
    assert stream.finished


def test_a_whole_answer_without_reasoning_counts_none() -> None:
    message = {"role": "assistant", "content": "hi", "reasoning": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    body = {"choices": [{"message": message, "token_ids": [7, 8]}], "usage": usage}
    data, used = translate_body(json.dumps(body).encode(), ask(), "m", END)
    answer = json.loads(data)
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}
    assert answer["choices"][0]["message"]["reasoning_content"] is None
    assert used.completion == 2


class TestClamp:
    def test_the_bound_has_no_cheap_form_when_the_template_may_write_more(self) -> None:
        asked = ask(tools=[{"type": "function", "function": {"name": "f"}}])
        assert prompt_token_bound(asked.raw, asked.body) is None
        picture = {"type": "image_url", "image_url": {"url": "data:x"}}
        asked = ask(messages=[{"role": "user", "content": [picture]}])
        assert prompt_token_bound(asked.raw, asked.body) is None
        asked = ask(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}]}])
        assert prompt_token_bound(asked.raw, asked.body) is not None

    def test_decisions(self) -> None:
        assert decide(4096, 10, 4096, may_drop=True) is Fit.DROP
        assert decide(4096, 10, 4096, may_drop=False) is Fit.COUNT
        assert decide(4086, 10, 4096, may_drop=True) is Fit.KEEP
        assert decide(4087, 10, 4096, may_drop=True) is Fit.COUNT
        assert decide(1, None, 4096, may_drop=True) is Fit.COUNT
        assert largest(100, 4000, 4096) == 96
        assert largest(100, 5000, 4096) < 0
