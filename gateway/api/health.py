"""`/livez` and `/readyz`."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from starlette.responses import JSONResponse


def make_router(not_ready: Callable[[], str | None]) -> APIRouter:
    """The health routes; `not_ready` says why the process isn't ready, None when it is.

    Readiness does not look at Redis or at the upstreams: a fault there takes all gateways at
    once, and callers are better served by an honest error than by no gateway at all.
    """
    router = APIRouter()

    async def livez() -> JSONResponse:
        """The process answers."""
        return JSONResponse({"status": "ok"})

    async def readyz() -> JSONResponse:
        """The process takes requests."""
        reason = not_ready()
        if reason is None:
            return JSONResponse({"status": "ok"})
        return JSONResponse(
            {"status": "not ready", "reason": reason}, 503, headers={"retry-after": "1"}
        )

    router.add_api_route("/livez", livez, methods=["GET"])
    router.add_api_route("/readyz", readyz, methods=["GET"])
    return router
