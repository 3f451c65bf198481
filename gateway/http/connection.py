"""One caller's connection: bytes in, requests to the application, answers out in their order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

import httptools

from gateway.http.answer import refusal
from gateway.http.exchange import Exchange

if TYPE_CHECKING:
    from gateway.server import Server

_logger = logging.getLogger(__name__)
# A request's head may be so long, and what stands around and behind the chunks of a body: the
# parser keeps it. So much of a body may wait for the application.
_HEAD_BYTES = 64 * 1024
_BODY_BYTES = 128 * 1024
# How long a caller that is still sending may take to read why nobody listens any more.
_LINGER_S = 2.0
# What is written but not taken by the kernel yet: an application that sends more waits.
_UNSENT_BYTES = 64 * 1024


class Connection(asyncio.Protocol):
    """Reads requests with llhttp, strictly: what two readers could understand in two ways is 400.

    Requests that come before the one in front of them was answered wait; with more than one of
    them nothing is read.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport
        self._client: Any = None
        self._address: Any = None
        self._fresh()
        self._requests: deque[Exchange] = deque()
        self._reading: Exchange | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = False
        self._deaf = False
        self.full: asyncio.Future[None] | None = None
        """There while the caller reads too slowly."""
        self.since = server.now()
        """When it was opened; later, when it became idle or the next request's head began."""
        self.used = False
        """A request on it was answered."""

    def _fresh(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        self._client = transport.get_extra_info("peername")
        self._address = transport.get_extra_info("sockname")
        self._server.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone: whoever works for it is told."""
        self._server.went(self)
        # The two know each other, which would leave them to the garbage collector.
        del self._parser
        self.resume_writing()
        for exchange in self._requests:
            exchange.left_alone()
        self._requests.clear()

    def pause_writing(self) -> None:
        """The caller reads slowly."""
        self.full = self._server.loop.create_future()

    def resume_writing(self) -> None:
        """It has read."""
        if self.full is not None and not self.full.done():
            self.full.set_result(None)
        self.full = None

    def data_received(self, data: bytes) -> None:
        """Some of a request."""
        if self._deaf:
            return
        if self.used and self.idle and not self.begun:
            self.since = self._server.now()
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
        except (httptools.HttpParserError, UnicodeDecodeError):
            self._refuse(400, "This is not a valid HTTP/1.1 request.")
        else:
            if self._head_bytes > _HEAD_BYTES:
                self._refuse(431, "The request's headers are too long.")

    # What the parser tells.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target = b""
        self._headers = []

    def on_url(self, part: bytes) -> None:
        """Some of the request's target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; behind a chunked body too, where none is of use."""
        if self._reading is None:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """A whole head."""
        parser = self._parser
        if parser.should_upgrade():
            return
        exchange = self._reading = Exchange(self, self._scope())
        exchange.keep = parser.should_keep_alive()
        if any(name == b"expect" for name, _ in self._headers):
            exchange.expects()
        self._head_bytes = 0
        self._requests.append(exchange)
        if len(self._requests) == 1:
            self._begin(exchange)
        else:
            self._pause()

    def on_body(self, piece: bytes) -> None:
        """Some of its body."""
        self._head_bytes = 0
        if self._reading is not None:
            self._reading.fed(piece)
            if self._reading.held > _BODY_BYTES:
                self._pause()

    def on_message_complete(self) -> None:
        """All of its body."""
        self._head_bytes = 0
        if self._reading is not None:
            self._reading.whole()
            self._reading = None

    # What exchanges do.

    def write(self, data: bytes) -> None:
        """Send."""
        self._transport.write(data)

    def taken(self) -> None:
        """The application took what had come."""
        if len(self._requests) <= 1:
            self._resume()

    def date(self) -> bytes:
        """The `date` header's line."""
        return self._server.date()

    @property
    def leaving(self) -> bool:
        """True when answers have to say that the connection ends."""
        return self._server.leaving

    def answered(self, exchange: Exchange) -> None:
        """An answer is complete: on with the next request, if there may be one."""
        if not exchange.complete:
            self._hang_up()
            return
        if not exchange.keep:
            self._transport.close()
            return
        # While the server stops too: this answer's head may have said that the connection stays.
        self._requests.popleft()
        self.used = True
        self.since = self._server.now()
        if self._requests:
            self._begin(self._requests[0])
        self.taken()

    # What the server does.

    @property
    def idle(self) -> bool:
        """No request is being worked on, and one may still come."""
        return not (self._requests or self._deaf)

    @property
    def begun(self) -> bool:
        """Some of a request's head has come."""
        return self._head_bytes > 0

    def close(self) -> None:
        """End it."""
        self._transport.close()

    def expired(self) -> None:
        """The time for a head is over."""
        if self.begun:
            self._refuse(408, "The request's headers did not come in time.")
        else:
            self.close()

    def _scope(self) -> dict[str, Any]:
        target, parser = self._target, self._parser
        if not target.startswith(b"/"):
            url = httptools.parse_url(target)
            target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
        raw, _, query = target.partition(b"?")
        path = unquote_to_bytes(raw) if b"%" in raw else raw
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": parser.get_http_version(),
            "method": parser.get_method().decode(),
            "scheme": "http",
            "path": path.decode(),
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client[:2] if self._client else None,
            "server": self._address[:2] if self._address else None,
        }

    def _begin(self, exchange: Exchange) -> None:
        task = self._server.loop.create_task(self._run(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self._server.app(exchange.scope, exchange.receive, exchange.send)
        except Exception as fault:
            # Whoever has a task's error untold tells it with its text, which may quote a prompt.
            _logger.error("application_failed", exc_info=fault)
        finally:
            exchange.over()
            # An answer without its end is cut, so that nobody takes it for a whole one.
            if not exchange.ended and not exchange.gone:
                if exchange.began:
                    self._transport.close()
                else:
                    self._refuse(500, "The gateway failed.")

    def _decline(self, rest: bytes) -> None:
        """An offer to speak another protocol: the request is read again without it."""
        method, target, headers = self._parser.get_method(), self._target, self._headers
        if method == b"CONNECT":
            self._refuse(400, "This is no proxy.")
            return
        lines = [b"%b %b HTTP/1.1\r\n" % (method, target)]
        lines += [
            b"%b: %b\r\n" % header
            for header in headers
            if header[0] not in (b"upgrade", b"connection", b"http2-settings")
        ]
        self._fresh()
        self.data_received(b"".join(lines) + b"\r\n" + rest)

    def _refuse(self, status: int, message: str) -> None:
        """What comes is no request. One that is being answered is cut."""
        if not any(exchange.began for exchange in self._requests):
            self._transport.write(refusal(status, message))
        self._hang_up()

    def _hang_up(self) -> None:
        """End it while the caller is sending: to close at once would destroy the answer too."""
        if self._deaf or self._transport.is_closing():
            return
        self._deaf = True
        self._transport.write_eof()
        self._resume()
        self._server.loop.call_later(_LINGER_S, self._transport.close)

    def _resume(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()
