"""An answer that is cut anywhere and continued from its tokens is the answer that was not cut."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.continuation import Progress, Stops, rest_of_request, stops_of, why_not
from gateway.protocol.continued import Continued
from gateway.protocol.request import Asked, parse, prepare
from gateway.protocol.sse import DONE_DATA, EventScanner
from gateway.protocol.stream import StreamTranslator
from gateway.upstream.dialects.vllm import stream_translator
from serving.simulator.answers import END_THINK, EOS, THINK, Answer, decode, encode
from serving.simulator.wire import Asked as WireAsked
from serving.simulator.wire import Events, usage_event

PROMPT = [0, 4, *encode("What is 7+5?"), 5, THINK, *encode("\n")]
TEXT = st.text(st.sampled_from("ab<>/think中é🙂\n"), max_size=12)


def wire(*, chat: bool, prompt: list[int]) -> WireAsked:
    return WireAsked(chat, "m", "id-1", 7, prompt, wants_ids=True, wants_usage=True)


def events(asked: WireAsked, answer: Answer, per_event: int) -> list[bytes]:
    """A stream as the model server gives it, event by event."""
    maker = Events(asked, 0, answer, per_event)
    made = [maker.opening()] if asked.chat else []
    step = max(per_event, 1)
    for start in range(0, len(answer.ids), step):
        part = answer.ids[start : start + step]
        made += maker.of(part, last=start + step >= len(answer.ids))
    made.append(usage_event(asked, len(answer.ids), 0))
    data = EventScanner().feed(b"".join(each for each in made if each is not None))
    return [*data, DONE_DATA]


def ask(*, chat: bool, **more: Any) -> tuple[Asked, dict[str, Any]]:
    body: dict[str, Any] = {"model": "m", "stream": True, "temperature": 0, "max_tokens": 500}
    body["stream_options"] = {"include_usage": True}
    if chat:
        body["messages"] = [{"role": "user", "content": "What is 7+5?"}]
    else:
        body["prompt"] = "What is 7+5?"
    raw = orjson.dumps({**body, **more})
    asked = parse(raw, "chat" if chat else "completions", max_depth=20)
    return asked, prepare(asked, model="m", temperature=None, top_p=None)


class Heard:
    """What a caller heard."""

    def __init__(self) -> None:
        self.reasoning = self.content = ""
        self.finish: str | None = None
        self.usage: dict[str, Any] | None = None

    def hear(self, data: bytes) -> None:
        for each in EventScanner().feed(data):
            chunk = json.loads(each)
            if not chunk["choices"]:
                self.usage = chunk["usage"]
                continue
            choice = chunk["choices"][0]
            delta = choice.get("delta") or {"content": choice.get("text")}
            self.reasoning += delta.get("reasoning_content") or ""
            self.content += delta.get("content") or ""
            self.finish = choice["finish_reason"] or self.finish


def run(translator: StreamTranslator | Continued, data: list[bytes], heard: Heard) -> None:
    for each in data:
        piece = translator.event(each)
        heard.hear(piece.data)
        if piece.end:
            return


@settings(max_examples=150)
@given(
    reasoning=TEXT,
    content=TEXT,
    chat=st.booleans(),
    per_event=st.integers(1, 3),
    cuts=st.tuples(st.integers(0, 80), st.integers(0, 80)),
)
def test_cut_anywhere_twice(
    reasoning: str, content: str, chat: bool, per_event: int, cuts: tuple[int, int]
) -> None:
    """Also inside a character, in the think block and at its end."""
    ids = [*encode(reasoning.replace("</think>", "")), END_THINK, *encode(content), EOS]
    if not chat:
        ids = [*encode((reasoning + content).replace("think>", "")), EOS]
    asked, body = ask(chat=chat)
    assert why_not(asked, body) is None
    whole = Heard()
    uncut = events(wire(chat=chat, prompt=PROMPT), Answer(ids, "stop"), per_event)
    run(stream_translator(asked, "m", END_THINK), uncut, whole)

    heard = Heard()
    stream = stream_translator(asked, "m", END_THINK)
    stream.progress = progress = Progress(chat=chat)
    progress.room = body["max_tokens"]
    data = uncut
    reader: StreamTranslator | Continued = stream
    for cut in cuts:
        run(reader, data[: min(cut, len(data) - 3)], heard)
        if not progress.begun:
            break
        text = decode(progress.ids)
        while text.endswith("�"):
            progress.ids.pop()
            text = decode(progress.ids)
        held = progress.rest(text)
        assert held is not None
        request = rest_of_request(progress, body, context=4096)
        assert request is not None
        assert request["max_tokens"] == 500 - len(progress.ids)
        said = len(progress.ids)
        assert request["prompt"] == PROMPT + ids[:said]
        data = events(wire(chat=False, prompt=request["prompt"]), Answer(ids[said:], "stop"), 1)
        reader = Continued(stream, progress, Stops([]), held=held, think_end=END_THINK)
    else:
        run(reader, data, heard)
        assert (heard.reasoning, heard.content) == (whole.reasoning, whole.content)
        assert heard.finish == whole.finish == "stop"
        assert heard.usage is not None
        assert whole.usage is not None
        for field in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert heard.usage[field] == whole.usage[field], field
        if chat and reasoning:
            details = heard.usage["completion_tokens_details"]
            assert details == whole.usage["completion_tokens_details"]


@given(
    text=st.text("abc", max_size=40),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    sizes=st.lists(st.integers(1, 5), max_size=40),
)
def test_stops_end_a_text_where_the_first_of_them_begins(
    text: str, stops: list[str], sizes: list[int]
) -> None:
    """However the text comes in pieces."""
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    stop, said, at = Stops(stops), "", 0
    for size in [*sizes, len(text)]:
        said += stop.feed(text[at : at + size])
        at += size
    said += stop.flush()
    if not found:
        assert (said, stop.met) == (text, None)
    else:
        assert stop.met in stops
        assert said == text[: min(found)[1]] or text.startswith(said + str(stop.met))


def test_a_text_that_differs_is_not_gone_on_with() -> None:
    progress = Progress(chat=True)
    progress.passed([1, 2], "ab", None)
    assert progress.rest("abc") == "c"
    assert progress.rest("ax") is None
    assert progress.rest("a") is None
    progress.passed([3], None, "c")
    assert progress.rest("ab</think>cd") == "d"
    assert progress.rest("ab</think>d") is None
    assert progress.rest("abc") is None


def test_what_was_held_for_a_stop_text_is_gone_on_with() -> None:
    asked, body = ask(chat=True, stop=["END"])
    assert why_not(asked, body) is None
    assert stops_of(body) == ["END"]
    stream = stream_translator(asked, "m", END_THINK)
    stream.progress = progress = Progress(chat=True)
    progress.prompt = PROMPT
    progress.room = 50
    head = {"id": "x", "created": 1, "model": "m", "prompt_token_ids": PROMPT}
    said = {**head, "choices": [{"index": 0, "delta": {"content": "a"}, "token_ids": [1, 2, 3]}]}
    stream.event(json.dumps(said).encode())
    held = progress.rest("aEN")
    assert held == "EN"
    reader = Continued(stream, progress, Stops(["END"]), held=held, think_end=None)
    rest = {"choices": [{"index": 0, "text": "Dx", "token_ids": [4]}]}
    heard = Heard()
    run(reader, [json.dumps(rest).encode()], heard)
    assert (heard.content, heard.finish, reader.finished) == ("", "stop", True)
    assert heard.usage is not None
    assert heard.usage["completion_tokens"] == 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("seed", 1),
        ("frequency_penalty", 0.5),
        ("repetition_penalty", 1.1),
        ("logprobs", True),
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("response_format", {"type": "json_object"}),
        ("structured_outputs", {"regex": "a"}),
        ("return_token_ids", True),
        ("min_tokens", 5),
        ("some_new_field", 0),
    ],
)
def test_what_is_not_continued(field: str, value: Any) -> None:
    asked, body = ask(chat=True, **{field: value, "temperature": 0.6})
    assert why_not(asked, body) == field


def test_greedy_with_a_seed_is_continued() -> None:
    asked, body = ask(chat=True, seed=3, n=1, frequency_penalty=0.0, top_k=5)
    assert why_not(asked, body) is None
    progress = Progress(chat=True)
    progress.prompt = [1, 2]
    progress.ids.extend([3])
    request = rest_of_request(progress, body, context=10)
    assert request is not None
    assert (request["max_tokens"], request["top_k"]) == (7, 5)
    assert "seed" not in request
    assert rest_of_request(progress, body, context=3) is None
    assert rest_of_request(progress, body, context=None) is None
