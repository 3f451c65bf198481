"""Lines of JSON: cutting a byte stream into them. Pure."""

from __future__ import annotations

from gateway.protocol.sse import EventTooLarge


class LineScanner:
    """Cuts a stream of bytes, in pieces of any size, into its lines; empty ones are dropped.

    At most `limit` bytes of an unfinished line are held.
    """

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Each line that `piece` completes. Raises EventTooLarge."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > self._limit:
            raise EventTooLarge
        return [line for line in lines if line.strip()]

    @property
    def pending(self) -> bool:
        """True while part of a line is held."""
        return bool(self._rest.strip())
