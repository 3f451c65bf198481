"""Stored responses, which there are none of: an answer that says so."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.errors import NotFound


def make_router() -> APIRouter:
    """The routes of OpenAI's API that ask for a stored response.

    vLLM would keep responses in one replica's memory, where the next request need not come by, so
    the gateway has none stored.
    """
    router = APIRouter()

    async def not_stored(response_id: str) -> None:
        """Always 404."""
        raise NotFound(
            "No response is stored here: 'response_id' can't be known. "
            "Send the earlier turns in 'input' instead.",
            param="response_id",
        )

    for prefix in ("/v1", ""):
        path = prefix + "/responses/{response_id}"
        for method, ending in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
            router.add_api_route(path + ending, not_stored, methods=[method])
    return router
