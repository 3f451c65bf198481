"""The connection to Redis, with bounded waits and one kind of failure."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError


class StoreDown(Exception):
    """Redis did not answer in time, or answered with a fault."""


class StoreWatcher(Protocol):
    """Hears of each store operation: for the gauges of telemetry."""

    def store_ok(self) -> None:
        """An operation succeeded."""

    def store_failed(self, operation: str) -> None:
        """`operation` failed."""


class Store:
    """Redis with `timeout_s` on each operation; every failure is a StoreDown."""

    def __init__(self, url: str, *, timeout_s: float, watcher: StoreWatcher) -> None:
        # Where all connections are busy an operation waits for one: to fail at once would let
        # a burst of requests past their limits.
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # One attempt: a caller waits behind this call, and the next request tries again.
            retry=Retry(NoBackoff(), 0),
            max_connections=64,
            timeout=timeout_s,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._hashes: dict[str, str] = {}
        self._url = url
        self._timeout_s = timeout_s
        self._watcher = watcher

    async def get(self, key: str) -> str | None:
        """The value at `key`."""
        value: str | None = await self._guard("get", lambda: self._redis.get(key))
        return value

    async def ping(self) -> None:
        """Raise StoreDown unless Redis answers."""
        await self._guard("ping", lambda: self._redis.ping())

    async def indexed(self, index: str) -> dict[str, str]:
        """All fields of the hash `index`."""
        fields: dict[str, str] = await self._guard("index", lambda: self._redis.hgetall(index))
        return fields

    async def get_many(self, keys: list[str]) -> list[str | None]:
        """The values at `keys`, None where there is none."""
        if not keys:
            return []
        values: list[str | None] = await self._guard("get", lambda: self._redis.mget(keys))
        return values

    async def fields(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """All fields of the hashes at `keys`, empty where there is none."""

        async def read() -> list[dict[str, str]]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hgetall(key)
                return list(await pipe.execute())

        found: list[dict[str, str]] = await self._guard("fields", read)
        return found

    async def listen(self, channel: str, on_ready: Callable[[], None]) -> AsyncIterator[str]:
        """Messages on `channel`, for ever; StoreDown when the connection is lost.

        `on_ready` is called once the subscription holds: what was sent before may be lost.
        """
        # A connection of its own: a subscription waits for minutes, so it has no read timeout,
        # and the pings below notice a dead peer.
        redis: Redis = Redis.from_url(
            self._url,
            decode_responses=True,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=5,
        )
        try:
            async with redis.pubsub(ignore_subscribe_messages=False) as pubsub:
                await pubsub.subscribe(channel)
                while True:
                    message = await pubsub.get_message(timeout=5.0)
                    if message is None:
                        continue
                    if message["type"] == "subscribe":
                        on_ready()
                    elif message["type"] == "message":
                        yield message["data"]
        except (RedisError, OSError) as error:
            self._watcher.store_failed("listen")
            raise StoreDown(type(error).__name__) from error
        finally:
            await redis.aclose()

    async def script(
        self, operation: str, lua: str, keys: str | Sequence[str], words: Sequence[Any]
    ) -> Any:
        """What a Lua script gives: everything in it happens at once."""
        named = (keys,) if isinstance(keys, str) else tuple(keys)
        digest = self._hashes.get(lua)
        if digest is None:
            # Redis' own name for a script.
            digest = hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest()
            self._hashes[lua] = digest

        async def run() -> Any:
            try:
                return await self._redis.evalsha(digest, len(named), *named, *words)
            except NoScriptError:
                return await self._redis.eval(lua, len(named), *named, *words)

        return await self._guard(operation, run)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose(close_connection_pool=True)

    async def _guard(self, operation: str, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            result = await call()
        except (RedisError, OSError, TimeoutError) as error:
            self._watcher.store_failed(operation)
            # The type only: a message of redis may carry the URL.
            raise StoreDown(type(error).__name__) from error
        self._watcher.store_ok()
        return result
