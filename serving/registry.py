"""Tells the gateway which replicas there are: entries in Redis that expire unless renewed.

Contract (docs/architecture.md): the hash `r1:replicas:<model>` has a field for each replica, its
URL; in a Redis Cluster the hash is `{r1}:replicas:<model>`. The value is a time, a blank and a JSON
object `{"capacity", "state", "adapters", "load", "kv_used", "prefix_hits", "weights"}`. The time is
Redis' own clock in Unix seconds; from then on the entry counts as gone, whether or not it is still
there.

The gateways answer in the hash `r1:demand:<model>`: a field for each of their workers, of a time
like that, a blank and the number of its requests that have no replica yet.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisClusterException, RedisError

from serving.errors import ServingError

if TYPE_CHECKING:
    from collections.abc import Callable

URL_VARIABLE = "R1_REGISTRY_URL"
"""Where a replica finds the store's URL: a secret may be in it, and arguments are shown."""

STORE_FAULTS = (RedisError, RedisClusterException)
_LIMITS: dict[str, Any] = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
_SENTINEL_PORT = 26379
_LOOK_S = 0.25
_log = logging.getLogger(__name__)

# One step on the server, so that the expiry is by its clock; the hash itself goes with its last
# living entry. Two replicas of different ages write to it: it must outlive the younger.
_ANNOUNCE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d ', now + ARGV[3]) .. ARGV[2])
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
local waiting = 0
for _, told in ipairs(redis.call('HVALS', KEYS[2])) do
  local expiry, count = string.match(told, '^(%d+) (%d+)$')
  if expiry and tonumber(expiry) > now then waiting = waiting + tonumber(count) end
end
return waiting
"""


class WrongStoreUrl(ServingError):
    """The registry's URL is none of a Redis."""


def connect(url: str) -> Redis | RedisCluster:
    """A client for a URL in one of the gateway's forms: a server, sentinels or a cluster.

    Raises:
        WrongStoreUrl: it has another form. The message leaves out what it may keep secret.
    """
    scheme, _, rest = url.partition("://")
    transport, _, kind = scheme.partition("+")
    try:
        if kind == "sentinel":
            return _by_sentinels(f"{transport}://{rest}", tls=transport == "rediss")
        if kind == "cluster":
            # One node is enough: it knows the others.
            who, at, hosts = rest.rpartition("@")
            return RedisCluster.from_url(f"{transport}://{who}{at}{hosts.split(',')[0]}", **_LIMITS)
        return Redis.from_url(url, **_LIMITS)
    except ValueError:
        raise WrongStoreUrl(
            f"{URL_VARIABLE} is no URL of a Redis: give redis://[:password@]host:port/0, "
            "redis+sentinel://[:password@]host:port,host:port/master or "
            "redis+cluster://[:password@]host:port"
        ) from None


def _by_sentinels(url: str, *, tls: bool) -> Redis:
    parts = urlsplit(url)
    who, _, where = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    master, _, database = parts.path.strip("/").partition("/")
    if not master:
        raise ValueError("no master")
    hosts = [each.partition(":") for each in where.split(",")]
    found: Redis = Sentinel(  # type: ignore[no-untyped-call]
        [(host, int(port or _SENTINEL_PORT)) for host, _, port in hosts],
        sentinel_kwargs={**_LIMITS, "ssl": tls},
        **_LIMITS,
    ).master_for(
        master,
        username=unquote(user) or None,
        password=unquote(password) or None,
        db=int(database or 0),
        ssl=tls,
    )
    return found


@dataclass(frozen=True)
class Replica:
    """One engine that can be asked directly.

    `url` is its base, without `/v1`; `capacity` the sequences it runs at once; a draining replica
    finishes what it has and takes nothing new; `adapters` are the LoRA names it has loaded. `load`
    are the requests inside, `kv_used` and `prefix_hits` shares from 0 to 1: of the KV cache that is
    in use, and of all prompt tokens so far that were found in the prefix cache. `weights` is where
    the weights came from: replicas of one source compute the same.
    """

    url: str
    model: str
    capacity: int
    state: Literal["ready", "draining"] = "ready"
    adapters: tuple[str, ...] = ()
    load: int = 0
    kv_used: float = 0.0
    prefix_hits: float = 0.0
    weights: str = ""

    @property
    def key(self) -> str:
        """Where in Redis the model's replicas are."""
        return f"r1:replicas:{self.model}"

    @property
    def demand_key(self) -> str:
        """Where in Redis the gateways tell how many requests wait for the model."""
        return f"r1:demand:{self.model}"

    def differs(self, told: Replica | None) -> bool:
        """Whether gateways that were told `told` should hear of this at once."""
        return told is None or (self.url, self.state, self.adapters) != (
            told.url,
            told.state,
            told.adapters,
        )


def key_in(redis: Redis | RedisCluster, key: str) -> str:
    """A key of r1's as this store has it: in a cluster all of them are in one slot, `{r1}`."""
    return key.replace("r1:", "{r1}:", 1) if isinstance(redis, RedisCluster) else key


class Registry:
    """Writes entries that last `ttl_s` seconds and are renewed every `renew_s`."""

    def __init__(
        self, redis: Redis | RedisCluster, ttl_s: int = 15, renew_s: float | None = None
    ) -> None:
        self._redis: Any = redis
        self._ttl_s = ttl_s
        self._renew_s = ttl_s / 3 if renew_s is None else renew_s

    async def announce(self, replica: Replica) -> int:
        """Write or renew an entry; the requests that wait at all gateways for the model.

        Raises RedisError or RedisClusterException.
        """
        entry = {
            "capacity": replica.capacity,
            "state": replica.state,
            "adapters": list(replica.adapters),
            "load": replica.load,
            "kv_used": round(replica.kv_used, 3),
            "prefix_hits": round(replica.prefix_hits, 3),
            "weights": replica.weights,
        }
        words = (replica.url, json.dumps(entry), self._ttl_s)
        keys = (key_in(self._redis, replica.key), key_in(self._redis, replica.demand_key))
        return int(await self._redis.eval(_ANNOUNCE, 2, *keys, *words))

    async def withdraw(self, replica: Replica) -> None:
        """Remove an entry. Raises RedisError or RedisClusterException."""
        await self._redis.hdel(key_in(self._redis, replica.key), replica.url)

    async def keep(
        self,
        replica: Callable[[], Replica | None],
        heard: Callable[[int], None] = lambda waiting: None,
    ) -> None:
        """Renew an entry until cancelled, then remove it. Redis may be away meanwhile.

        Args:
            replica: the entry as it should be now, None while there is none yet. Another state
                is told at once.
            heard: takes the number of requests that wait at the gateways, at each renewal.
        """
        clock = asyncio.get_running_loop().time
        told: Replica | None = None
        due, reached = clock(), True
        try:
            while True:
                entry = replica()
                if entry is not None and (clock() >= due or entry.differs(told)):
                    told, due = entry, clock() + self._renew_s
                    try:
                        heard(await self.announce(entry))
                        reached = True
                    except STORE_FAULTS as error:
                        if reached:
                            _log.warning("replica can't be registered, trying again: %s", error)
                        reached = False
                await asyncio.sleep(_LOOK_S)
        finally:
            if told is not None:
                with suppress(*STORE_FAULTS):
                    await self.withdraw(told)
