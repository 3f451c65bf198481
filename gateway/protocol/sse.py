"""Server-sent events: cutting a byte stream into events, and writing them. Pure."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9_.]{1,100}")
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
DONE_DATA = b"[DONE]"
_FIRST, _NEXT, _LAST = b"data: ", b"\n\ndata: ", b"\n\n"


# What a line may begin with: a comment, a field of the standard, or nothing.
_FIELDS = frozenset((b"", b"data", b"event", b"id", b"retry"))


class EventTooLarge(Exception):
    """One event is longer than the bound."""


class NotAnEvent(Exception):
    """A line is none of an event: something of the stream was lost or overwritten."""


class EventScanner:
    """Cuts a stream of bytes, in pieces of any size, into the data of its events.

    Lines may end in LF, CRLF or CR; comments and fields other than `data` are dropped; several
    `data` lines of one event are joined with LF, as the standard says. It also says to drop fields
    that it does not know, but a line of data whose beginning was damaged looks like one, and with
    it tokens would go unseen. At most `limit` bytes of an unfinished event are held.
    """

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of each event that `piece` completes. Raises EventTooLarge and NotAnEvent."""
        buffer = self._rest + piece if self._rest else piece
        if b"\r" in buffer:
            # A CR at the very end may be the first half of a CRLF: leave it for the next piece.
            tail = b"\r" if buffer.endswith(b"\r") else b""
            body = buffer[: len(buffer) - len(tail)]
            buffer = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + tail
        whole = buffer.rfind(_LAST) + 2
        self._rest = buffer[whole:] if whole > 1 else buffer
        if len(self._rest) > self._limit:
            raise EventTooLarge
        if whole < 2:
            return []
        plain = buffer.startswith(_FIRST)
        if plain and buffer.count(b"\n", 0, whole) == 2 * buffer.count(_NEXT, 0, whole) + 2:
            # Nothing but lines of data, as model servers send them.
            return buffer[len(_FIRST) : whole - len(_LAST)].split(_NEXT)
        blocks = buffer[: whole - 2].split(_LAST)
        events = []
        for block in blocks:
            data = _data(block)
            if data is not None:
                events.append(data)
        return events

    @property
    def pending(self) -> bool:
        """True while part of an event is held."""
        return bool(self._rest.strip())


def stream(events: list[bytes]) -> bytes:
    """Some events, each on one line."""
    return _FIRST + _NEXT.join(events) + _LAST if events else b""


def event(data: bytes) -> bytes:
    """One event; `data` is JSON and so has no line ends in it."""
    return b"data: " + data + b"\n\n"


def named_event(name: str, data: bytes) -> bytes:
    """One event of a stream whose events have names; `data` is JSON as it came.

    Raises ValueError for a name that would be more than a name on the wire.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("not the name of an event")
    if b"\n" in data:
        # Between JSON's parts only: inside its texts they are escaped.
        data = data.replace(b"\n", b" ")
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _data(block: bytes) -> bytes | None:
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            value = line[5:]
            lines.append(value[1:] if value.startswith(b" ") else value)
        elif line.partition(b":")[0] not in _FIELDS:
            raise NotAnEvent
    return b"\n".join(lines) if lines else None
