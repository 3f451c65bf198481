"""The store of the answer cache: binary values, and a short pause after a fault."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.store.redis import Store, StoreDown, StoreWatcher

_CONNECTIONS = 32


class ByteStore(Store):
    """A Store whose values are bytes.

    After a fault nothing is tried for `pause_s`, and then by one call first: every request asks
    the cache, and none should wait for a store that doesn't answer.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        watcher: StoreWatcher,
        now: Callable[[], float],
        pause_s: float = 1.0,
    ) -> None:
        super().__init__(url, timeout_s=timeout_s, watcher=watcher)
        # Many callers at once wait for a connection; that is no fault of the store.
        self._redis = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=timeout_s,
                decode_responses=False,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
            )
        )
        self._now = now
        self._pause_s = pause_s
        self._closed_until: float | None = None

    async def get_bytes(self, key: str) -> bytes | None:
        """The value at `key`."""
        value: bytes | None = await self._guard("cache", lambda: self._redis.get(key))
        return value

    async def scan(self, pattern: str) -> AsyncIterator[list[str]]:
        """All keys that match, a page at a time. Walks over the whole store: not for requests."""
        cursor = 0
        while True:
            # Bound in the call: it is made before the next turn changes it.
            page: tuple[Any, list[bytes]] = await self._scan_page(cursor, pattern)
            cursor = int(page[0])
            yield [key.decode() for key in page[1]]
            if cursor == 0:
                return

    async def lengths(self, keys: list[str]) -> list[int]:
        """The values' lengths in bytes, 0 where there is none."""

        async def ask() -> list[int]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.strlen(key)
                lengths: list[int] = await pipe.execute()
                return lengths

        lengths: list[int] = await self._guard("cache", ask)
        return lengths

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _scan_page(self, cursor: int, pattern: str) -> tuple[Any, list[bytes]]:
        page: tuple[Any, list[bytes]] = await self._guard(
            "cache", lambda: self._redis.scan(cursor, match=pattern, count=1000)
        )
        return page

    async def _guard(self, operation: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if self._closed_until is not None:
            if self._now() < self._closed_until:
                raise StoreDown("pausing after a fault")
            self._closed_until = self._now() + self._pause_s
        try:
            result = await super()._guard(operation, call)
        except StoreDown:
            self._closed_until = self._now() + self._pause_s
            raise
        self._closed_until = None
        return result
