"""The connections to a Redis, whichever kind it is."""

from __future__ import annotations

import itertools
from typing import Any, cast

from redis.asyncio import Connection, ConnectionPool, Redis, RedisCluster, SSLConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from gateway.store.address import Address

_CLUSTER_RETRIES = 2
_NO_LIMIT = 2**31


class Link:
    """`client` for commands, and a client for each subscription.

    Whoever uses it bounds how long a command may take and how many run at once. `timeout_s` is
    that bound: where sentinels or nodes have to be asked for the way, each of them gets a part of
    it, so that one that is lost leaves time to ask another.
    """

    def __init__(self, address: Address, *, timeout_s: float, decode: bool) -> None:
        """Args: `decode` gives values as text, else as bytes."""
        self._address = address
        self._timeout_s = timeout_s
        self._decode = decode
        self._seeds = itertools.cycle(address.hosts)
        self._sentinel = self._make_sentinel() if address.kind == "sentinel" else None
        self._cluster = self._make_cluster() if address.kind == "cluster" else None
        # A cluster's client has the same commands.
        self.client: Redis = cast(Redis, self._cluster or self._make_client(timeout_s))
        self._pool: Any = None if self._cluster else self.client.connection_pool

    def listener(self) -> Redis:
        """A client of its own for a subscription; close it.

        It waits for messages without a limit. In a cluster each node hears what is published.
        """
        return self._make_client(None)

    def shards(self) -> list[Any]:
        """The parts of a cluster, each of which has keys of its own; [None] without a cluster."""
        return [None] if self._cluster is None else self._cluster.get_primaries()

    async def ready(self) -> None:
        """Know the parts of a cluster."""
        if self._cluster is not None:
            await self._cluster.initialize()

    @property
    def master(self) -> tuple[str, int] | None:
        """Where the sentinels said last that the master is; None without sentinels."""
        if self._sentinel is None:
            return None
        place: tuple[str, int] | None = self._pool.master_address
        return place

    async def follow(self) -> None:
        """Ask the sentinels where the master is, and leave a server that is it no more."""
        if self._sentinel is not None:
            before = self.master
            if await self._pool.get_master_address() != before:
                await self._pool.update_active_connections_for_reconnect()

    async def renew(self) -> None:
        """Have the next commands connect anew: to what the name, sentinels or nodes now say."""
        if self._cluster is not None:
            await self._cluster.aclose()
        else:
            await self._pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()

    def _make_client(self, read_timeout_s: float | None) -> Redis:
        address = self._address
        options = {
            **address.options,
            "decode_responses": self._decode,
            "socket_timeout": read_timeout_s,
            "socket_connect_timeout": self._timeout_s,
            # One attempt: a caller waits behind this call, and the next request tries again.
            "retry": _retries(0),
            "max_connections": _NO_LIMIT,
        }
        if self._sentinel is not None:
            client: Redis = self._sentinel.master_for(address.master, ssl=address.tls, **options)
            return client
        if address.hosts:
            host, port = next(self._seeds)
            options |= {"host": host, "port": port}
            options["connection_class"] = SSLConnection if address.tls else Connection
        else:
            options["connection_class"] = UnixDomainSocketConnection
        return Redis.from_pool(ConnectionPool(**options))

    def _make_sentinel(self) -> Sentinel:
        address = self._address
        part_s = self._timeout_s / (len(address.hosts) + 1)
        tls = {name: value for name, value in address.options.items() if name.startswith("ssl_")}
        options = {
            **address.sentinel_options,
            **tls,
            "ssl": address.tls,
            "socket_timeout": part_s,
            "socket_connect_timeout": part_s,
            "retry": _retries(0),
        }
        return Sentinel(address.hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]

    def _make_cluster(self) -> RedisCluster:
        address = self._address
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            ssl=address.tls,
            decode_responses=self._decode,
            socket_timeout=self._timeout_s / 2,
            socket_connect_timeout=self._timeout_s / 4,
            # After a lost node its other nodes are asked who has its keys now.
            retry=_retries(_CLUSTER_RETRIES),
            require_full_coverage=False,
            **address.options,
        )


def _retries(count: int) -> Retry:
    return Retry(NoBackoff(), count)
