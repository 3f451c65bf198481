"""Events that are taken together give the same as each on its own."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.protocol import sse
from gateway.protocol.chat_run import Runs
from gateway.protocol.chat_stream import ChatStream
from gateway.protocol.continuation import Progress
from gateway.protocol.heard import Heard
from gateway.protocol.request import Asked, parse
from gateway.protocol.stream import Piece

HEAD = '{"id":"chatcmpl-é1","object":"chat.completion.chunk","created":1760000000,"model":"m"'
END = 77  # the id of </think>


def asked() -> Asked:
    return parse(
        b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "x"}]}',
        "chat",
        max_depth=8,
    )


def token(kind: str, text: str, ids: list[int], **more: Any) -> bytes:
    """An event as vLLM writes it, for which no blank stands between the parts."""
    choice = {"index": 0, "delta": {kind: text}, "logprobs": None, "finish_reason": None}
    choice |= {"token_ids": ids, **more}
    told = json.dumps([choice], separators=(",", ":"), ensure_ascii=False)
    return f'{HEAD},"choices":{told}}}'.encode()


texts = st.text(max_size=6) | st.sampled_from(
    ["\n\n", '"', "\\", "/", "\x7f", "\x00", "\u2028", ""]
)
ids = st.lists(st.integers(0, 99) | st.just(END), max_size=3)
usual = st.builds(token, st.sampled_from(["content", "reasoning"]), texts, ids)
odd = st.one_of(
    st.just(f'{HEAD},"choices":[],"usage":{{"prompt_tokens":3,"completion_tokens":9}}}}'.encode()),
    st.builds(lambda text: token("content", text, [1], finish_reason="stop"), texts),
    st.builds(lambda text: token("content", text, [1], index=1), texts),
    # ASCII in another spelling, blanks, no ids, another head, bytes that are no text.
    usual.map(lambda event: json.dumps(json.loads(event)).encode()),
    usual.map(lambda event: event.replace(b'"token_ids"', b'"other"')),
    usual.map(lambda event: event.replace(b"chatcmpl-", b"chatcmpl-2")),
    usual.map(lambda event: event.replace(b'"content":"', b'"content":"\xc3')),
    usual.map(lambda event: event[:-1]),
)


def taken(stream: ChatStream, events: list[bytes], at: int, how: str) -> tuple[Piece, int]:
    """The next piece in one of three ways, and the place of the next event."""
    if how == "lists":
        return stream.run(events, at)
    rest = sse.stream(events[at:])
    found = stream.pieces(rest) if how == "bytes" else None
    if found is None:
        return stream.event(events[at]), at + 1
    piece, size = found
    return piece, at + rest[:size].count(b"\n\n")


def outcome(events: list[bytes], think_end: int | None, how: str) -> Any:
    """All that a stream gives and remembers."""
    request = asked()
    request.heard = heard = Heard(keeps=True, loop=None)
    stream = ChatStream(request, "r1", think_end)
    stream.progress = Progress(chat=True)
    data, tokens, content, at, fault = b"", 0, False, 0, None
    try:
        while at < len(events):
            piece, at = taken(stream, events, at, how)
            data += piece.data
            tokens += piece.tokens
            content = content or piece.content
    except UpstreamFailed as error:
        fault = error.code
    progress = stream.progress
    passed = (list(progress.ids), progress.reasoning, progress.content, progress.opened)
    return data, tokens, content, stream.usage, stream.finished, passed, heard.text, fault


@given(
    st.lists(st.one_of(usual, usual, usual, odd), max_size=12),
    st.sampled_from([END, None]),
)
def test_together_and_one_by_one_are_the_same(events: list[bytes], think_end: int | None) -> None:
    alone = outcome(events, think_end, "alone")
    assert outcome(events, think_end, "lists") == alone
    assert outcome(events, think_end, "bytes") == alone


@given(st.lists(st.text("ab \nü", min_size=1), min_size=2))
def test_what_vllm_sends_is_taken_together(said: list[str]) -> None:
    events = [token("reasoning", text, [number]) for number, text in enumerate(said)]
    stream = ChatStream(asked(), "r1", END)
    stream.event(events[0])
    last = token("reasoning", "x", [7], finish_reason="stop")
    together = sse.stream(events[1:])
    found = stream.pieces(together + sse.stream([last]) + b'data: {"id":"chat')
    assert found is not None
    piece, size = found
    assert (size, piece.tokens) == (len(together), len(events) - 1)


def test_a_long_piece_is_looked_at_once_whatever_stands_behind_the_run() -> None:
    """Events of another form end a run; they must not make all those before them be read alone."""
    runs = Runs("m")
    runs.learn(token("content", "a", [1]))
    thought = [b"data: " + token("reasoning", "so", [7]) + b"\n\n"] * 120
    said = [b"data: " + token("content", "12", [8]) + b"\n\n"] * 40
    odd = [b"data: " + token("content", "", [9]) + b"\n\n", b"data: [DONE]\n\n"]
    piece = b"".join([*thought, *said, *odd])
    first = runs.first(piece)
    assert first is not None
    assert (first.events, first.reasoning, first.size) == (120, "so" * 120, len(b"".join(thought)))
    second = runs.first(piece[first.size :])
    assert second is not None
    assert (second.events, second.content) == (40, "12" * 40)
    assert runs.first(b"".join(odd)) is None
