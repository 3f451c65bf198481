"""What operators do with the cache: look at it, and empty it."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.cache.board import Board
from gateway.cache.canonical import Addresses, model_of, pattern

_ANSWER = ":answer"
_FLIGHT = ":flight"


@dataclass(slots=True)
class Kept:
    """Answers of one model, and their bytes as they lie in the store."""

    entries: int = 0
    bytes: int = 0


class CacheKeeper:
    """Walks over the store, a page at a time. Every method raises StoreDown."""

    def __init__(self, board: Board, addresses: Addresses) -> None:
        self._board = board
        self._addresses = addresses

    async def kept(self) -> dict[str, Kept]:
        """What is kept, by model."""
        models: dict[str, Kept] = {}
        async for page in self._board.store.scan(pattern(None, None) + _ANSWER):
            for key, length in zip(page, await self._board.store.lengths(page), strict=True):
                kept = models.setdefault(model_of(key), Kept())
                kept.entries += 1
                kept.bytes += length
        return models

    async def purge(self, model: str | None, tenant: str | None) -> int:
        """Drop a model's, a tenant's or all answers; how many there were.

        Answers being made right now are given to those who wait, but not kept.
        """
        owner = None if tenant is None else self._addresses.owner(tenant)
        dropped = 0
        for ending in (_FLIGHT, _ANSWER):
            async for page in self._board.store.scan(pattern(model, owner) + ending):
                for key in page:
                    dropped += await self._board.purge(key.removesuffix(ending))
        return dropped
