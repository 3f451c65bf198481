"""The store for programs that need it once: opened, asked and closed in a plain blocking call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.store.redis import Store, StoreName

T = TypeVar("T")
_TIMEOUT_S = 5.0


class NoWatcher:
    """Counts no store operations."""

    def store_ok(self, store: StoreName) -> None:
        """Nobody counts here."""

    def store_failed(self, store: StoreName, operation: str) -> None:
        """Nobody counts here."""


def with_store(url: str, work: Callable[[Store], Awaitable[T]]) -> T:
    """What `work` gives with the store at `url`. Raises StoreDown, and what `work` raises."""

    async def run() -> T:
        store = Store(url, timeout_s=_TIMEOUT_S, watcher=NoWatcher())
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())
