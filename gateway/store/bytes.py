"""The store of the answer cache: its values are bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from gateway.store.redis import Store, StoreName


class ByteStore(Store):
    """A Store whose values are bytes.

    It is given up after one operation that did not reach it: every request asks the cache, and
    none should wait for it more than once. Keys name their slot of a cluster themselves.
    """

    name: StoreName = "cache"
    patience = 1
    decode = False

    async def get_bytes(self, key: str) -> bytes | None:
        """The value at `key`."""
        value: bytes | None = await self._guard("cache", lambda: self._redis.get(key))
        return value

    async def scan(self, pattern: str) -> AsyncIterator[list[str]]:
        """All keys that match, a page at a time. Walks over the whole store: not for requests."""
        await self._guard("cache", self._link.ready)
        for shard in self._link.shards():
            cursor = 0
            while True:
                # Bound in the call: it is made before the next turn changes it.
                cursor, keys = await self._scan_page(cursor, pattern, shard)
                yield [key.decode() for key in keys]
                if cursor == 0:
                    break

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

    async def _scan_page(self, cursor: int, pattern: str, shard: Any) -> tuple[int, list[bytes]]:
        where = {} if shard is None else {"target_nodes": shard}
        told, keys = await self._guard(
            "cache", lambda: self._redis.scan(cursor, match=pattern, count=1000, **where)
        )
        # Of a cluster: the cursor of each part that was asked.
        (after,) = told.values() if isinstance(told, dict) else (told,)
        return int(after), keys
