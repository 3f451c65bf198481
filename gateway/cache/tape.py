"""The answer of one generation while it grows: written once, read by any number of callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Tape:
    """Pieces of a body in order, and how it ended."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self.ended = False
        self.error: Exception | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def write(self, data: bytes) -> None:
        """Add a piece: whole events of a stream, or any part of another body."""
        if data:
            self.pieces.append(data)
            self.size += len(data)
            self._tell()

    def clear(self) -> None:
        """Begin again; only while nobody was given anything, as with an answer sent whole."""
        self.pieces.clear()
        self.size = 0

    def finish(self) -> None:
        """The answer is complete."""
        self.ended = True
        self._tell()

    def fail(self, error: Exception) -> None:
        """The answer will not be completed."""
        self.error = error
        self.finish()

    def body(self) -> bytes:
        """All pieces so far."""
        return b"".join(self.pieces)

    async def read(self) -> AsyncIterator[bytes]:
        """From the beginning to the end; who comes late gets many pieces at once.

        Raises what the tape failed with.
        """
        at = 0
        while True:
            if at < len(self.pieces):
                data = b"".join(self.pieces[at:])
                at = len(self.pieces)
                yield data
            elif self.ended:
                if self.error is not None:
                    raise self.error.with_traceback(None)
                return
            else:
                news = asyncio.get_running_loop().create_future()
                self._waiting.append(news)
                await news

    def _tell(self) -> None:
        for each in self._waiting:
            if not each.done():
                each.set_result(None)
        self._waiting.clear()
