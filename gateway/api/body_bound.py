"""A bound on the bodies of plain routes, which their framework reads before it looks for a key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.api.faults import response
from gateway.call import Message, Receive, Send
from gateway.errors import BodyTooLarge, BodyTooSlow

App = Callable[[Message, Receive, Send], Awaitable[None]]


class BodyBound:
    """Raw ASGI: bodies of at most `max_bytes` within `timeout_s`; others get the error."""

    def __init__(self, app: App, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Read the body and pass it on in one piece."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                whole = await self._read(receive)
        except TimeoutError:
            late = BodyTooSlow(f"The body did not come within {self._timeout_s:g} s.")
            await response(late)(scope, receive, send)
            return
        except BodyTooLarge as error:
            await response(error)(scope, receive, send)
            return
        given = [whole]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, again, send)

    async def _read(self, receive: Receive) -> Message:
        """One message with the whole body, or the one that says that its sender left."""
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise BodyTooLarge(f"The body is longer than {self._max_bytes} bytes.")
            if not message.get("more_body", False):
                return {"type": "http.request", "body": body, "more_body": False}
