"""The connection to Redis, with bounded waits and one kind of failure."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, Protocol

from redis.exceptions import (
    ClusterDownError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from gateway.store.address import parse
from gateway.store.line import Line
from gateway.store.link import Link

StoreName = Literal["keys", "cache"]

_AT_ONCE = 64
_PAUSE_S = 1.0
# A subscription that is silent for so long is asked whether it lives.
_SILENCE_S = 5.0
# What a replica says to a write; inside a script, Redis puts words of its own before it.
_READ_ONLY = "read only replica"
_FAULTS = (RedisError, RedisClusterException, OSError)


class StoreDown(Exception):
    """Redis did not answer in time, or answered with a fault."""


class StoreWatcher(Protocol):
    """Hears of each store operation: for the gauges of telemetry."""

    def store_ok(self, store: StoreName) -> None:
        """An operation succeeded."""

    def store_failed(self, store: StoreName, operation: str) -> None:
        """`operation` failed."""


class Store:
    """Redis with `timeout_s` on each operation; every failure is a StoreDown.

    While `watch` runs, nobody waits for a store that is lost: after `patience` operations in a row
    that did not reach it, each one fails at once, until a ping is answered.

    In a cluster all that this store holds lies in one slot, because its scripts change several
    keys at once: `{r1}:` stands there for the `r1:` at the beginning of a name.
    """

    name: StoreName = "keys"
    patience = 3
    decode = True

    def __init__(self, url: str, *, timeout_s: float, watcher: StoreWatcher) -> None:
        address = parse(url)
        self._link = Link(address, timeout_s=timeout_s, decode=self.decode)
        self._redis = self._link.client
        self._line = Line.to(url, timeout_s=timeout_s) if self.decode else None
        self._one_slot = address.kind == "cluster"
        # More than so many wait for their turn: to fail at once would let a burst of requests
        # past their limits.
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._hashes: dict[str, str] = {}
        self._timeout_s = timeout_s
        self._watcher = watcher
        self._watched = False
        self._lost = 0  # operations in a row
        self._failed = False  # the last operation

    async def watch(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Find out when a store that failed works again, without a request; until cancelled.

        And follow a master: the one before may live on for a while, and take what will be lost.
        """
        self._watched = True
        while True:
            await sleep(_PAUSE_S)
            if not self._failed:
                await self._try(self._link.follow)
                continue
            if self._given_up:
                # Its idle connections may lead to where it is no more.
                await self._renew()
            with suppress(StoreDown):
                await self._attempt("ping", self._ping)

    async def get(self, key: str) -> str | None:
        """The value at `key`."""
        place = self._place(key)
        value: str | None = await self._guard("get", lambda: self._redis.get(place))
        return value

    async def ping(self) -> None:
        """Raise StoreDown unless Redis answers."""
        await self._guard("ping", self._ping)

    async def met(self) -> bool:
        """Whether Redis answers over each kind of connection; opens those that are not open."""
        with suppress(StoreDown):
            await self._attempt("ping", self._ping)
            await self.script("ping", "return 1", (), ())
            return True
        return False

    async def indexed(self, index: str) -> dict[str, str]:
        """All fields of the hash `index`."""
        place = self._place(index)
        fields: dict[str, str] = await self._guard("index", lambda: self._redis.hgetall(place))
        return fields

    async def field(self, index: str, name: str) -> str | None:
        """One field of the hash `index`."""
        place = self._place(index)
        value: str | None = await self._guard("index", lambda: self._redis.hget(place, name))
        return value

    async def get_many(self, keys: list[str]) -> list[str | None]:
        """The values at `keys`, None where there is none."""
        if not keys:
            return []
        places = [self._place(key) for key in keys]
        values: list[str | None] = await self._guard("get", lambda: self._redis.mget(places))
        return values

    async def fields(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """All fields of the hashes at `keys`, empty where there is none."""

        async def read() -> list[dict[str, str]]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hgetall(self._place(key))
                return list(await pipe.execute())

        found: list[dict[str, str]] = await self._guard("fields", read)
        return found

    async def info(self) -> list[dict[str, Any]]:
        """What INFO says, of each part of a cluster; nothing where it may not be asked."""

        async def ask() -> list[dict[str, Any]]:
            await self._link.ready()
            try:
                return [
                    await self._redis.info(**({} if shard is None else {"target_nodes": shard}))
                    for shard in self._link.shards()
                ]
            except ResponseError:
                return []

        told: list[dict[str, Any]] = await self._guard("info", ask)
        return told

    async def listen(self, channel: str, on_ready: Callable[[], None]) -> AsyncIterator[str]:
        """Messages on `channel`, for ever; StoreDown when the connection is lost.

        `on_ready` is called once the subscription holds: what was sent before may be lost.
        """
        # A connection of its own: a subscription waits for minutes.
        redis = self._link.listener()
        try:
            async with redis.pubsub(ignore_subscribe_messages=False) as pubsub:
                async with asyncio.timeout(self._timeout_s):
                    await pubsub.subscribe(channel)
                asked, master = False, self._link.master
                while True:
                    message = await pubsub.get_message(timeout=_SILENCE_S)
                    if message is None:
                        if asked or self._link.master != master:
                            raise TimeoutError
                        async with asyncio.timeout(self._timeout_s):
                            await pubsub.ping()
                        asked = True
                        continue
                    asked = False
                    if message["type"] == "subscribe":
                        on_ready()
                    elif message["type"] == "message":
                        yield message["data"]
        except _FAULTS as error:
            self._watcher.store_failed(self.name, "listen")
            self._failed = True
            raise StoreDown(type(error).__name__) from error
        finally:
            await redis.aclose()

    async def script(
        self, operation: str, lua: str, keys: str | Sequence[str], words: Sequence[Any]
    ) -> Any:
        """What a Lua script gives: everything in it happens at once."""
        named = [self._place(key) for key in ((keys,) if isinstance(keys, str) else keys)]
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

        if self._line is not None:
            # It bounds the time of each answer itself, and takes any number of commands.
            ask = partial(self._line.script, digest, lua, named, words)
            return await self._guard(operation, ask, bound=False)
        return await self._guard(operation, run)

    async def close(self) -> None:
        """Close all connections."""
        if self._line is not None:
            self._line.close()
        await self._link.close()

    @property
    def _given_up(self) -> bool:
        return self._watched and self._lost >= self.patience

    def _place(self, key: str) -> str:
        """Where a key lies: one that names its slot itself stays as it is."""
        return f"{{r1}}{key[2:]}" if self._one_slot and "{" not in key else key

    async def _ping(self) -> Any:
        # A cluster's part that has the keys must answer, not any part: nothing has this name.
        return await self._redis.exists(self._place("r1:ping"))

    async def _guard(
        self, operation: str, call: Callable[[], Awaitable[Any]], *, bound: bool = True
    ) -> Any:
        if self._given_up:
            self._watcher.store_failed(self.name, operation)
            raise StoreDown("lost, and not found again yet")
        return await self._attempt(operation, call, bound=bound)

    async def _attempt(
        self, operation: str, call: Callable[[], Awaitable[Any]], *, bound: bool = True
    ) -> Any:
        try:
            if bound:
                async with asyncio.timeout(self._timeout_s), self._turns:
                    result = await call()
            else:
                result = await call()
        except _FAULTS as error:
            if not isinstance(error, ResponseError) or isinstance(error, ClusterDownError):
                self._lost += 1
            self._failed = True
            self._watcher.store_failed(self.name, operation)
            if _READ_ONLY in str(error):
                # It was the master once: these connections are the last that believe it.
                await self._renew()
            # The type only: a message of redis may carry the URL.
            raise StoreDown(type(error).__name__) from error
        self._lost = 0
        self._failed = False
        self._watcher.store_ok(self.name)
        return result

    async def _renew(self) -> None:
        """Have the next operations connect anew."""
        if self._line is not None:
            self._line.close()
        await self._try(self._link.renew)

    async def _try(self, call: Callable[[], Awaitable[None]]) -> None:
        """Do it in time, or leave it at that."""
        with suppress(*_FAULTS):
            async with asyncio.timeout(self._timeout_s):
                await call()
