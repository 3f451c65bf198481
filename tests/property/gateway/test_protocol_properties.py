"""Properties of the pure parts: events, reasoning counts, the clamp, keys, metrics."""

from __future__ import annotations

import json
import string
import unicodedata
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keys import is_well_formed, make_key
from gateway.protocol import sse
from gateway.protocol.chat_stream import ChatStream
from gateway.protocol.clamp import Fit, decide, largest, prompt_token_bound
from gateway.protocol.reasoning import ReasoningCounter, count
from gateway.protocol.request import parse

END = 3
TEXT = st.text(max_size=40)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces that begin at these places."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


@given(
    st.lists(st.dictionaries(st.text(max_size=5), TEXT, max_size=3), max_size=8),
    st.lists(st.integers(min_value=0, max_value=10_000), max_size=30),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_events_are_the_same_however_they_are_cut(
    values: list[dict[str, str]], places: list[int], end: bytes
) -> None:
    data = b"".join(
        b": c" + end * 2 + b"data: " + json.dumps(each).encode() + end * 2 for each in values
    )
    scanner = sse.EventScanner()
    # A last piece, or a final CR would be waited for.
    pieces = [*cut(data, places), b"\n"]
    got = [json.loads(event) for piece in pieces for event in scanner.feed(piece)]
    assert got == values


@given(st.lists(TEXT, min_size=1, max_size=6), st.data())
def test_no_event_goes_missing_where_bytes_were_overwritten(
    texts: list[str], draw: st.DataObject
) -> None:
    events = [json.dumps({"text": each, "pad": "x" * 60}).encode() for each in texts]
    data = b"".join(b"data: " + each + b"\n\n" for each in events)
    at = draw.draw(st.integers(0, len(data) - 1))
    size = draw.draw(st.integers(1, min(48, len(data) - at)))
    damaged = data[:at] + b"\xff" * size + data[at + size :]
    scanner = sse.EventScanner()
    try:
        got = [json.loads(event) for event in scanner.feed(damaged)]
    except (sse.NotAnEvent, ValueError):
        return
    # What is read is right, and of what is missing the scanner still waits for the end.
    assert got == [json.loads(each) for each in events[: len(got)]]
    assert len(got) == len(events) or scanner.pending


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int], list[int], list[int]]:
    """Reasoning tokens, content tokens, and where the stream is cut into pieces."""
    tokens = st.integers(min_value=10, max_value=50)
    reasoning = draw(st.lists(tokens, max_size=12))
    content = draw(st.lists(tokens, max_size=12))
    return reasoning, content, draw(st.lists(st.integers(1, 6), min_size=1, max_size=30))


@given(answers(), st.booleans())
def test_streamed_count_is_the_whole_count(
    answer: tuple[list[int], list[int], list[int]], closed: bool
) -> None:
    reasoning, content, sizes = answer
    ids = [*reasoning, END, *content] if closed else reasoning
    counter = ReasoningCounter(END)
    at, ended, step = 0, False, 0
    while at < len(ids):
        part = ids[at : at + sizes[step % len(sizes)]]
        before = part[: part.index(END)] if END in part else part
        lone = part == [END]
        has_reasoning = not ended and not lone
        has_content = ended or (END in part and len(part) > len(before) + 1)
        counter.feed(part, reasoning=has_reasoning, content=has_content)
        ended = ended or END in part
        at += len(part)
        step += 1
    assert counter.tokens == count(ids, END) == len(reasoning)


@given(st.lists(st.tuples(TEXT, st.booleans()), max_size=15))
def test_no_text_is_lost_or_moved_between_reasoning_and_content(
    parts: list[tuple[str, bool]],
) -> None:
    asked = parse(
        json.dumps(
            {"model": "m", "stream": True, "messages": [{"role": "user", "content": "?"}]}
        ).encode(),
        "chat",
        max_depth=8,
    )
    stream = ChatStream(asked, "m", END)
    scanner = sse.EventScanner()
    said = {"reasoning_content": "", "content": ""}
    for text, is_reasoning in parts:
        delta = {"reasoning" if is_reasoning else "content": text}
        chunk = {"choices": [{"index": 0, "delta": delta, "token_ids": [9]}]}
        for event in scanner.feed(stream.event(json.dumps(chunk).encode()).data):
            sent = json.loads(event)["choices"][0]["delta"]
            assert set(sent) == {"content", "reasoning_content"}
            for name in said:
                said[name] += sent[name] or ""
    assert said["reasoning_content"] == "".join(text for text, is_r in parts if is_r)
    assert said["content"] == "".join(text for text, is_r in parts if not is_r)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6), st.booleans(), st.booleans())
def test_the_bound_is_never_below_a_byte_tokenizer_with_normalisation(
    texts: list[str], escaped: bool, normalised: bool
) -> None:
    body: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": text} for text in texts],
    }
    raw = json.dumps(body, ensure_ascii=escaped).encode(errors="surrogatepass")
    bound = prompt_token_bound(raw, body)
    assert bound is not None
    shown = [unicodedata.normalize("NFC", text) if normalised else text for text in texts]
    tokens = sum(len(text.encode(errors="surrogatepass")) + 3 for text in shown) + 30
    assert tokens <= bound


@given(
    st.integers(1, 200_000), st.integers(1, 200_000), st.integers(0, 5000), st.integers(2, 163_840)
)
def test_the_clamp_is_exact(wanted: int, prompt: int, slack: int, context: int) -> None:
    """Whatever way is taken, the engine gets min(wanted, what remains), and never refuses."""
    room = context - prompt
    fit = decide(wanted, prompt + slack, context, may_drop=True)
    if room < 1:
        assert fit is not Fit.KEEP
        return
    exact = min(wanted, room)
    if fit is Fit.KEEP:
        assert wanted == exact
    elif fit is Fit.DROP:
        # vLLM's rule for a request without a limit: what remains.
        assert room == exact
    else:
        assert largest(wanted, prompt, context) == exact


@given(st.data())
def test_a_key_with_one_character_changed_is_malformed(data: st.DataObject) -> None:
    letters = string.ascii_letters + string.digits
    key = make_key(lambda alphabet: data.draw(st.sampled_from(alphabet)))
    assert is_well_formed(key)
    place = data.draw(st.integers(3, len(key) - 1))
    other = data.draw(st.sampled_from([each for each in letters if each != key[place]]))
    assert not is_well_formed(key[:place] + other + key[place + 1 :])
