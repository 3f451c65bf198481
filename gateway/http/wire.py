"""One connection to a server, and the answer that comes over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

# Of an answer that is read slower than it comes, so much is held here.
_AHEAD_BYTES = 128 * 1024
_HEAD_BYTES = 64 * 1024


class Broken(Exception):
    """The connection was lost before the answer's end; `begun`: after its head."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("in the answer" if begun else "before the answer")
        self.begun = begun


class NotHttp(Exception):
    """What came is no HTTP/1.1 answer."""


class Response:
    """An answer: its status and headers, and its body piece by piece."""

    __slots__ = (
        "_held",
        "_pieces",
        "_waiter",
        "_wire",
        "complete",
        "fault",
        "headers",
        "sink",
        "status",
    )

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._pieces: list[bytes] = []
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        """All of it came."""
        self.fault: Exception | None = None
        self.sink: Callable[[bytes], int] | None = None
        """Is offered what comes while a piece is waited for, and tells how many bytes it took.
        Who waits is woken for the rest only: that is a turn of the loop and a walk through a
        task's whole stack."""

    @property
    def at_end(self) -> bool:
        """All of it was read."""
        return self.complete and not self._pieces

    async def piece(self) -> bytes:
        """What has come of the body since the last piece, b"" at its end. Raises Broken."""
        while not self._pieces:
            if self.complete:
                return b""
            if self.fault is not None:
                raise self.fault
            await self.wait()
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        if self._held > _AHEAD_BYTES:
            self._wire.resume()
        self._held = 0
        return data

    def close(self) -> None:
        """Read no more of it. One that was not read to its end takes its connection with it."""
        self.sink = None
        self._wire.finished(self)

    def fed(self, data: bytes) -> None:
        """Some of the body came."""
        waits = self._waiter is not None and not self._waiter.done()
        if self.sink is not None and waits:
            taken = self.sink(data)
            if taken == len(data):
                return
            data = data[taken:]
        before = self._held
        self._pieces.append(data)
        self._held += len(data)
        if before <= _AHEAD_BYTES < self._held:
            self._wire.pause()
        self.wake()

    async def wait(self) -> None:
        """Until `wake`."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def wake(self) -> None:
        """Something has changed."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Wire(asyncio.Protocol):
    """One request after the other; `free` is told when the next one may come."""

    def __init__(self, free: Callable[[Wire], None]) -> None:
        self._free = free
        self._transport: asyncio.Transport
        self._came: list[bytes] = []
        self.on_body = self._came.append
        """What the parser gives of a body."""
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Response | None = None
        self._headed = False
        self._head_bytes = 0
        self._to_the_end = False
        self._keep = False
        self.lost = False
        self.since = 0.0
        """When it became free."""

    async def ask(self, request: bytes) -> Response:
        """The answer's beginning. Raises Broken or NotHttp."""
        answer = self._answer = Response(self)
        self._headed, self._keep, self._head_bytes = False, False, 0
        self._transport.write(request)
        try:
            while not self._headed:
                if answer.fault is not None:
                    raise answer.fault
                await answer.wait()
        except BaseException:
            self.abort()
            raise
        return answer

    def finished(self, answer: Response) -> None:
        """Nobody reads on."""
        if self._answer is not answer:
            return
        self._answer = None
        if answer.at_end and self._keep and not self.lost:
            self._free(self)
        else:
            self.abort()

    def pause(self) -> None:
        """Enough has come for now."""
        if not self.lost:
            self._transport.pause_reading()

    def resume(self) -> None:
        """More may come."""
        if not self.lost:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Hang up at once."""
        self.lost = True
        self._transport.abort()

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up: the end of an answer that has no other."""
        self.lost = True
        # The two know each other, which would leave them to the garbage collector.
        del self._parser
        if self._answer is None or self._answer.complete:
            return
        if self._to_the_end and exc is None:
            self._answer.complete = True
            self._answer.wake()
        else:
            self._fail(Broken(begun=self._headed))

    def data_received(self, data: bytes) -> None:
        """Some of an answer."""
        if self._answer is None:
            # Nothing was asked.
            self.abort()
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._deliver()
            self._fail(NotHttp())
        else:
            if self._came:
                self._head_bytes = 0
            self._deliver()
            if self._head_bytes > _HEAD_BYTES:
                self._fail(NotHttp())

    # What the parser tells.

    def on_message_begin(self) -> None:
        """An answer begins: behind a complete one nobody knows what it answers."""
        if self._answer is not None and self._answer.complete:
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        if self._answer is not None and not self._headed:
            self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """A head; one that says 1xx comes before the answer's own."""
        answer, status = self._answer, self._parser.get_status_code()
        if answer is None or answer.complete:
            return
        if status < 200:
            answer.headers.clear()
            return
        answer.status = status
        named = answer.headers.keys() & {"content-length", "transfer-encoding"}
        self._to_the_end = not named and status not in (204, 304)
        self._keep = self._parser.should_keep_alive()
        self._headed = True
        self._head_bytes = 0
        answer.wake()

    def on_message_complete(self) -> None:
        """The answer's end."""
        if self._answer is not None and self._headed:
            # What comes behind it is not its own.
            self._deliver()
            self._answer.complete = True
            self._answer.wake()

    def _deliver(self) -> None:
        came = self._came
        if came:
            data = came[0] if len(came) == 1 else b"".join(came)
            came.clear()
            if self._answer is not None and not self._answer.complete:
                self._answer.fed(data)

    def _fail(self, fault: Exception) -> None:
        if self._answer is not None:
            self._answer.fault = fault
            self._answer.wake()
        self.abort()
