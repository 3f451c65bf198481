"""What stands before all routes: an inference request goes straight to its own."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Route

from gateway.api.inference import InferenceRoute
from gateway.call import Message, Receive, Send


class Front:
    """An ASGI application: one look into a table for inference requests, FastAPI for the rest.

    On their way through FastAPI requests pass a dozen layers, which cost more than the work.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._inference: dict[str, InferenceRoute] = {
            route.path: route.endpoint
            for route in app.routes
            if isinstance(route, Route) and isinstance(route.endpoint, InferenceRoute)
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            route = self._inference.get(scope["path"])
            if route is not None:
                await route(scope, receive, send)
                return
        await self._app(scope, receive, send)
