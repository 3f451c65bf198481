"""`/admin/cache`: what the answer cache holds, and emptying it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Request

from gateway.cache.manage import CacheKeeper, Kept
from gateway.errors import StoreUnavailable
from gateway.store.redis import StoreDown

Results = dict[str, dict[str, int]]
"""Requests by model and by what the cache had for them."""


def make_cache_router(
    keeper: CacheKeeper,
    results: Callable[[], Results],
    allowed: Callable[[Request], Awaitable[None]],
) -> APIRouter:
    """The routes, open to those whom `allowed` lets pass."""
    router = APIRouter(prefix="/admin/cache", dependencies=[Depends(allowed)])

    async def stats() -> dict[str, Any]:
        """Kept answers in the store, and this gateway's requests since it started, by model."""
        try:
            kept = await keeper.kept()
        except StoreDown as error:
            raise _unavailable() from error
        asked = results()
        return {
            "object": "list",
            "data": [
                {
                    "model": model,
                    **asdict(kept.get(model, Kept())),
                    "requests": asked.get(model, {}),
                }
                for model in sorted({*kept, *asked})
            ],
        }

    async def purge(model: str | None = None, tenant: str | None = None) -> dict[str, Any]:
        """Drop answers: of a model, of a tenant, of both together, or all."""
        try:
            return {"purged": await keeper.purge(model, tenant)}
        except StoreDown as error:
            raise _unavailable() from error

    router.add_api_route("", stats, methods=["GET"])
    router.add_api_route("", purge, methods=["DELETE"])
    return router


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("The store can't be reached; try again shortly.", retry_after_s=2)
