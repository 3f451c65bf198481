"""`/admin/cache`: what the answer cache holds, and emptying it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends

from gateway.api.admin import Guard
from gateway.cache.manage import CacheKeeper, Kept

Results = dict[str, dict[str, int]]
"""Requests by model and by what the cache had for them."""


def make_cache_router(
    keeper: CacheKeeper,
    results: Callable[[], Results],
    guard: Guard,
) -> APIRouter:
    """The routes, open to those whom `guard` lets pass."""
    router = APIRouter(prefix="/admin/cache", dependencies=[Depends(guard)])

    async def stats() -> dict[str, Any]:
        """Kept answers in the store, and this gateway's requests since it started, by model."""
        kept = await keeper.kept()
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
        return {"purged": await keeper.purge(model, tenant)}

    router.add_api_route("", stats, methods=["GET"])
    router.add_api_route("", purge, methods=["DELETE"])
    return router
