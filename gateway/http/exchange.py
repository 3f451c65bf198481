"""One request and its answer on a connection, as ASGI's `receive` and `send`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from gateway.http.answer import GO_ON, LAST_CHUNK, Head, chunk

if TYPE_CHECKING:
    from gateway.http.connection import Connection

Message = MutableMapping[str, Any]

EXCHANGE = "r1.exchange"
"""An extension of ASGI: the exchange itself, for what costs less than `receive` and `send`."""


class Exchange:
    """From a request's first header to its answer's end.

    The head of an answer waits for the first piece of its body, so that both leave together.
    """

    __slots__ = (
        "_connection",
        "_expects",
        "_head",
        "_hears",
        "_pieces",
        "_told",
        "_waiter",
        "began",
        "complete",
        "ended",
        "gone",
        "head",
        "held",
        "keep",
        "left",
        "scope",
    )

    def __init__(self, connection: Connection, scope: dict[str, Any]) -> None:
        self._connection = connection
        self.scope = scope
        scope["extensions"] = {EXCHANGE: self}
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._head: bytes | None = None
        self._hears: Callable[[], None] | None = None
        self._expects = False
        self._told = False
        self.head: Head | None = None
        self.held = 0
        """Bytes of the body that were not asked for yet."""
        self.left = 0
        """Bytes of an answer of known length that were not given yet."""
        self.keep = True
        """The connection may go on afterwards."""
        self.complete = False
        """The request's body has come."""
        self.began = False
        """Something of the answer was sent."""
        self.ended = False
        """The answer is complete."""
        self.gone = False
        """The caller has left."""

    def expects(self) -> None:
        """The caller waits for a word before it sends the body."""
        self._expects = True

    def fed(self, piece: bytes) -> None:
        """Some of the body came."""
        self._pieces.append(piece)
        self.held += len(piece)
        self._wake()

    def whole(self) -> None:
        """The body has come."""
        self.complete = True
        self._wake()

    def over(self) -> None:
        """The application is done with it."""
        # Each holds the other: they would stay until a search for garbage, and that takes
        # milliseconds in which nobody is served.
        self.scope["extensions"] = {}

    def left_alone(self) -> None:
        """The caller is gone."""
        self.gone = True
        self._wake()
        if self._hears is not None:
            self._hears()

    def when_left(self, then: Callable[[], None] | None) -> None:
        """Call this when the caller leaves; None: nothing any more. Cheaper than a task for it."""
        self._hears = then
        if self.gone and then is not None:
            then()

    async def receive(self) -> Message:
        """The next piece of the body; after all of it: waits until the caller has left."""
        if self._expects and not self.complete:
            self._expects = False
            self._connection.write(GO_ON)
        while not (self._pieces or self.gone or (self.complete and not self._told)):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._pieces or not self.gone:
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self.held = 0
            self._connection.taken()
            self._told = self.complete
            return {"type": "http.request", "body": data, "more_body": not self.complete}
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """A part of the answer; waits while the caller reads slowly. Raises BadHeader."""
        if self.gone or self.ended:
            return
        if message["type"] == "http.response.start":
            connection = self._connection
            self.head = Head(
                message["status"],
                message.get("headers", ()),
                date=connection.date(),
                keep=self.keep and not connection.leaving,
                modern=self.scope["http_version"] == "1.1",
            )
            self._head = self.head.data
            self.left = self.head.length or 0
            return
        await self._body(message.get("body", b""), more=message.get("more_body", False))

    @property
    def flows(self) -> bool:
        """Whether a piece of a stream can be sent without a wait."""
        return (
            self._head is None
            and self.head is not None
            and self.head.chunked
            and self._connection.full is None
            and not (self.gone or self.ended or self.scope["method"] == "HEAD")
        )

    def flow(self, data: bytes) -> None:
        """Send a piece of a stream while it `flows`."""
        self._connection.write(chunk(data))

    async def _body(self, data: bytes, *, more: bool) -> None:
        head, connection = self.head, self._connection
        if head is None:
            raise RuntimeError("an answer's body came before its status")
        if self.scope["method"] == "HEAD":
            data = b""
        elif head.chunked:
            data = chunk(data) if data else b""
            if not more:
                data += LAST_CHUNK
        elif head.length is not None:
            self.left -= len(data)
            if self.left < 0:
                raise RuntimeError("an answer's body is longer than its content-length")
        if self._head is not None:
            data, self._head = self._head + data, None
        if data:
            self.began = True
            connection.write(data)
        if not more:
            self.ended = True
            if head.closes or (self.left and self.scope["method"] != "HEAD"):
                self.keep = False
            connection.answered(self)
        elif connection.full is not None:
            await connection.full

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
