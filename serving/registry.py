"""Tells the gateway which replicas there are: entries in Redis that expire unless renewed.

Contract (docs/architecture.md): the hash `r1:replicas:<model>` has a field for each replica, its
URL. The value is a time, a blank and a JSON object `{"capacity", "state", "adapters"}`. The time is
Redis' own clock in Unix seconds; from then on the entry counts as gone, whether or not it is still
there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

_log = logging.getLogger(__name__)

# One step on the server, so that the expiry is by its clock; the hash itself goes with its last
# living entry. Two replicas of different ages write to it: it must outlive the younger.
_ANNOUNCE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d ', now + ARGV[3]) .. ARGV[2])
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
"""


@dataclass(frozen=True)
class Replica:
    """One engine that can be asked directly.

    `url` is its base, without `/v1`; `capacity` the sequences it runs at once; a draining replica
    finishes what it has and takes nothing new; `adapters` are the LoRA names it has loaded.
    """

    url: str
    model: str
    capacity: int
    state: Literal["ready", "draining"] = "ready"
    adapters: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Where in Redis the model's replicas are."""
        return f"r1:replicas:{self.model}"


class Registry:
    """Writes entries that last `ttl_s` seconds."""

    def __init__(self, redis: Redis, ttl_s: int = 15) -> None:
        self._redis: Any = redis
        self._ttl_s = ttl_s

    async def announce(self, replica: Replica) -> None:
        """Write or renew an entry. Raises RedisError."""
        entry = {
            "capacity": replica.capacity,
            "state": replica.state,
            "adapters": list(replica.adapters),
        }
        words = (replica.url, json.dumps(entry), self._ttl_s)
        await self._redis.eval(_ANNOUNCE, 1, replica.key, *words)

    async def withdraw(self, replica: Replica) -> None:
        """Remove an entry. Raises RedisError."""
        await self._redis.hdel(replica.key, replica.url)

    async def keep(self, replica: Callable[[], Replica]) -> None:
        """Renew an entry until cancelled, then remove it. Redis may be away meanwhile."""
        reached = True
        try:
            while True:
                try:
                    await self.announce(replica())
                    reached = True
                except RedisError as error:
                    if reached:
                        _log.warning("replica can't be registered, trying again: %s", error)
                    reached = False
                await asyncio.sleep(self._ttl_s / 3)
        finally:
            with suppress(RedisError):
                await self.withdraw(replica())
