"""`x-request-id`, `server` and what keeps answers out of caches, on the plain routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.call import Message, Receive, Send, request_id

App = Callable[[Message, Receive, Send], Awaitable[None]]


class RequestIds:
    """Raw ASGI around the plain routes; the inference routes send their headers themselves."""

    def __init__(self, app: App, make_id: Callable[[], str]) -> None:
        self._app = app
        self._make_id = make_id

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass on, adding the headers to an answer that has none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                if b"x-request-id" not in names:
                    given = dict(scope["headers"]).get(b"x-request-id", b"")
                    identity = request_id(given, self._make_id).encode()
                    message["headers"] = [
                        *message["headers"],
                        (b"x-request-id", identity),
                        (b"server", b"r1"),
                        (b"cache-control", b"no-store"),
                        (b"x-content-type-options", b"nosniff"),
                    ]
            await send(message)

        await self._app(scope, receive, with_id)
