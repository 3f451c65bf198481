"""The fast way through a chat stream: runs of events that differ in nothing but their tokens. Pure.

Nearly all events of an answer have one form: a token's text, its id, and what all events of the
answer have. Reading each as JSON and writing it anew is most of what a gateway's streams cost, so
events of just that form are read and written together, as bytes. Whatever has another form, be it
by one blank, is left to `ChatStream`; both give the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

# What all events of an answer begin with, as vLLM writes it. Numbers and texts are such that
# reading and writing them changes nothing.
_HEAD = re.compile(
    rb'(\{"id":"[^"\\\x00-\x1f]*","object":"chat\.completion\.chunk",'
    rb'"created":(?:0|[1-9][0-9]{0,14}),"model":)"[^"\\\x00-\x1f]*"'
    rb'(,"choices":\[\{"index":0,"delta":\{)"(?:content|reasoning)":"'
)
# Not empty: a token that is a part of a character has no text, and is counted in another way.
_TEXT = rb'((?!")[^"\\\x00-\x1f]*(?:\\["\\bfnrt][^"\\\x00-\x1f]*)*)'
_ID = rb"(?:0|[1-9][0-9]{0,8})"
_END = (
    rb'"\},"logprobs":null,"finish_reason":null,"token_ids":\[(' + _ID + rb"(?:," + _ID + rb")*)\]"
    rb"\}\]\}\n\n"
)
_TOKEN = re.compile(_TEXT + _END)
_TAILS = {
    "content": b'","reasoning_content":null},"logprobs":null,"finish_reason":null}]}\n\n',
    "reasoning": b'","content":null},"logprobs":null,"finish_reason":null}]}\n\n',
}
_NAMES = {"content": b'"content":"', "reasoning": b'"reasoning_content":"'}


@dataclass(slots=True)
class Run:
    """Some events in a row: their bytes for the caller, and what was in them.

    One of the two texts is None: a run is all reasoning, or all content.
    """

    data: bytes
    ids: list[int]
    reasoning: str | None
    content: str | None
    events: int
    size: int
    """Bytes that the events had."""


class Runs:
    """Finds the runs of one stream; it learns from an event what all of them begin with."""

    __slots__ = ("_heads", "_model", "_starts")

    def __init__(self, model: str) -> None:
        """Args: `model` is the id that answers carry."""
        self._model = model
        self._heads: dict[str, bytes] = {}
        self._starts: dict[str, bytes] = {}

    def learn(self, event: bytes) -> None:
        """From the data of an event that `ChatStream` could read."""
        found = _HEAD.match(event)
        if found is None:
            return
        head, delta = found.groups()
        given = b"data: " + event[: found.end(2)]
        said = b"data: " + head + orjson.dumps(self._model) + delta
        for kind, name in _NAMES.items():
            self._heads[kind] = given + b'"' + kind.encode() + b'":"'
            self._starts[kind] = said + name

    @property
    def ready(self) -> bool:
        """Whether it has learned."""
        return bool(self._heads)

    def first(self, stream: bytes) -> Run | None:
        """The run that a piece of the stream begins with, if it does."""
        for kind, head in self._heads.items():
            if stream.startswith(head):
                return self._read(kind, head, stream)
        return None

    def _read(self, kind: str, head: bytes, stream: bytes) -> Run | None:
        """Event by event up to the first of another form: a long piece is looked at once only."""
        texts, ids, end = [], [], 0
        while stream.startswith(head, end):
            found = _TOKEN.match(stream, end + len(head))
            if found is None:
                break
            texts.append(found[1])
            ids.append(found[2])
            end = found.end()
        return self._made(kind, texts, b",".join(ids), end) if texts else None

    def _made(self, kind: str, texts: list[bytes], numbers: bytes, size: int) -> Run | None:
        joined = b"".join(texts)
        try:
            if not joined.isascii():
                for text in texts:
                    text.decode()
            read: str = orjson.loads(b'"' + joined + b'"') if b"\\" in joined else joined.decode()
        except UnicodeDecodeError:
            return None
        start, tail = self._starts[kind], _TAILS[kind]
        return Run(
            start + (tail + start).join(texts) + tail,
            orjson.loads(b"[" + numbers + b"]"),
            read if kind == "reasoning" else None,
            read if kind == "content" else None,
            len(texts),
            size,
        )
