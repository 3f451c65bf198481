"""Server-sent events: cutting a byte stream into events, and writing them. Pure."""

from __future__ import annotations

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
DONE_DATA = b"[DONE]"


class EventTooLarge(Exception):
    """One event is longer than the bound."""


class EventScanner:
    """Cuts a stream of bytes, in pieces of any size, into the data of its events.

    Lines may end in LF, CRLF or CR; comments and fields other than `data` are dropped; several
    `data` lines of one event are joined with LF, as the standard says. At most `limit` bytes of
    an unfinished event are held.
    """

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of each event that `piece` completes. Raises EventTooLarge."""
        buffer = self._rest + piece if self._rest else piece
        if b"\r" in buffer:
            # A CR at the very end may be the first half of a CRLF: leave it for the next piece.
            tail = b"\r" if buffer.endswith(b"\r") else b""
            body = buffer[: len(buffer) - len(tail)]
            buffer = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + tail
        *blocks, self._rest = buffer.split(b"\n\n")
        if len(self._rest) > self._limit:
            raise EventTooLarge
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


def event(data: bytes) -> bytes:
    """One event; `data` is JSON and so has no line ends in it."""
    return b"data: " + data + b"\n\n"


def named_event(name: str, data: bytes) -> bytes:
    """One event of a stream whose events have names."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _data(block: bytes) -> bytes | None:
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            value = line[5:]
            lines.append(value[1:] if value.startswith(b" ") else value)
    return b"\n".join(lines) if lines else None
