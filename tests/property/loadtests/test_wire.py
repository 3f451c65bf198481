"""However the network cuts an answer into pieces, the same is read and measured."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from loadtests.client.ask import Ask
from loadtests.client.call import BROKEN, CUT, DONE, ERROR, LEFT, Call
from loadtests.client.reading import Reading
from loadtests.client.wire import Events, Response

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)
CUTS = st.lists(st.integers(0, 4000), max_size=20)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def chunked(parts: list[bytes]) -> bytes:
    body = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body + b"0\r\nx: y\r\n\r\n"


def event(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"


def read(ask: Ask, data: bytes, cuts: list[int], *, closes: bool = False) -> Call:
    reading = Reading(ask, Call("test", 0.0, 0.0))
    now = 0.0
    for piece in pieces(data, cuts):
        now += 1.0
        if reading.feed(piece, now):
            break
    if closes:
        reading.close(now)
    return reading.call


STREAM = Ask({"stream": True, "messages": []})


@given(st.lists(st.binary(max_size=40), max_size=6), CUTS)
def test_chunks_are_joined(parts: list[bytes], cuts: list[int]) -> None:
    response = Response()
    body = b"".join(map(response.feed, pieces(chunked(parts), cuts)))
    assert body == b"".join(parts)
    assert response.whole
    assert response.reusable


@given(st.binary(max_size=60), CUTS, st.binary(max_size=5))
def test_a_length_is_kept_to(body: bytes, cuts: list[int], more: bytes) -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    response = Response()
    assert b"".join(map(response.feed, pieces(head + body + more, cuts))) == body
    assert response.whole


@given(st.lists(TEXT, min_size=1, max_size=6), CUTS, st.sampled_from(["\n", "\r\n"]))
def test_events_are_found_and_comments_are_not(
    texts: list[str], cuts: list[int], line: str
) -> None:
    stream = "".join(f": ping{line}{line}data: {text}{line}{line}" for text in texts).encode()
    events = Events()
    found = [each for piece in pieces(stream, cuts) for each in events.feed(piece)]
    assert found == [text.encode() for text in texts]


@given(st.lists(TEXT.filter(bool), min_size=1, max_size=6), CUTS)
def test_a_stream_is_whole_with_its_mark_only(texts: list[str], cuts: list[int]) -> None:
    events = [event(content=text) for text in texts]
    call = read(STREAM, chunked([*events, b"data: [DONE]\n\n"]), cuts)
    assert (call.ending, call.said.content) == (DONE, "".join(texts))
    assert len(call.gaps) == len(texts) - 1
    assert call.first is not None
    assert call.first <= call.ended
    cut = read(STREAM, chunked(events), cuts)
    assert cut.ending == CUT
    assert cut.failed


@given(st.lists(TEXT.filter(bool), min_size=1, max_size=6), CUTS, st.integers(1, 40))
def test_a_connection_that_ends_early_is_a_cut(
    texts: list[str], cuts: list[int], missing: int
) -> None:
    stream = chunked([*(event(content=text) for text in texts), b"data: [DONE]\n\n"])
    head = stream.index(b"\r\n\r\n") + 4
    call = read(STREAM, stream[: max(head, len(stream) - missing)], cuts, closes=True)
    assert call.ending == CUT


@given(st.integers(1, 5), CUTS)
def test_who_leaves_leaves_as_meant(after: int, cuts: list[int]) -> None:
    ask = Ask({"stream": True}, leaves_after=after)
    call = read(ask, chunked([event(content="x") for _ in range(5)]), cuts)
    assert (call.ending, call.expected, call.failed) == (LEFT, True, False)
    assert len(call.gaps) == after - 1


@given(CUTS)
def test_an_error_in_a_stream_is_no_answer(cuts: list[int]) -> None:
    error = b'data: {"error": {"message": "lost"}}\n\n'
    call = read(STREAM, chunked([event(content="x"), error, b"data: [DONE]\n\n"]), cuts)
    assert (call.ending, call.message) == (ERROR, "lost")


@given(st.binary(min_size=1, max_size=80), CUTS)
def test_no_bytes_break_the_reader(data: bytes, cuts: list[int]) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data)
    for ask in (STREAM, Ask({})):
        assert read(ask, head + data, cuts).ending in (BROKEN, CUT, DONE)
        assert read(ask, data, cuts, closes=True).failed


@given(CUTS)
def test_a_refusal_that_was_provoked_is_no_failure(cuts: list[int]) -> None:
    body = b'{"error": {"message": "slower"}}'
    head = b"HTTP/1.1 429 No\r\nretry-after: 1\r\ncontent-length: %d\r\n\r\n" % len(body)
    call = read(Ask({}, expected=frozenset({200, 429})), head + body, cuts)
    assert (call.ending, call.message, call.failed) == ("http 429", "slower", False)
    assert call.retry_after
    assert read(Ask({}), head + body, cuts).failed
