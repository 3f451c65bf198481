"""Connections to a Redis: what they are made of, before anything is connected."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from redis.asyncio import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from gateway.store.address import parse
from gateway.store.link import Link

CA = ssl.get_default_verify_paths().cafile or "/etc/ssl/cert.pem"


def link(url: str) -> Any:
    return Link(parse(url), timeout_s=0.6, decode=True)


@pytest.mark.parametrize("tls", [False, True])
async def test_tls_holds_on_the_whole_way(tls: bool) -> None:
    scheme, options = ("rediss", f"?ssl_ca_certs={CA}") if tls else ("redis", "")
    plain, managed = (
        (SSLConnection, SentinelManagedSSLConnection)
        if tls
        else (Connection, SentinelManagedConnection)
    )
    server = link(f"{scheme}://:pw@h:1/3{options}")
    watched = link(f"{scheme}+sentinel://:pw@a:1,b:2/main/3{options}")
    cluster = link(f"{scheme}+cluster://:pw@a:1,b:2{options}")
    sentinels = [each.connection_pool for each in watched._sentinel.sentinels]
    nodes = list(cluster._cluster.nodes_manager.startup_nodes.values())
    assert [each.connection_class for each in (*sentinels, *nodes)] == [plain] * 4
    assert server.client.connection_pool.connection_class is plain
    for each in (server, watched):
        pool, heard = each.client.connection_pool, each.listener().connection_pool
        assert pool.connection_kwargs["db"] == heard.connection_kwargs["db"] == 3
        assert pool.connection_kwargs["password"] == heard.connection_kwargs["password"] == "pw"
        assert heard.connection_kwargs["socket_timeout"] is None
        assert pool.connection_class is heard.connection_class
    assert watched.client.connection_pool.connection_class is managed
    assert cluster.listener().connection_pool.connection_class is plain
    if tls:
        kinds = [*sentinels, watched.client.connection_pool, cluster.listener().connection_pool]
        assert {each.connection_kwargs["ssl_ca_certs"] for each in kinds} == {CA}
        assert {each.connection_kwargs["ssl_ca_certs"] for each in nodes} == {CA}
    # The password of Redis is not told to sentinels.
    assert [each.connection_kwargs.get("password") for each in sentinels] == [None, None]


async def test_one_lost_sentinel_leaves_time_for_the_others() -> None:
    watched = link("redis+sentinel://a,b/main?sentinel_username=u&sentinel_password=s")
    for each in watched._sentinel.sentinels:
        options = each.connection_pool.connection_kwargs
        assert options["socket_timeout"] == options["socket_connect_timeout"] == 0.6 / 3
        assert (options["username"], options["password"]) == ("u", "s")
    assert watched.master is None


async def test_each_subscription_may_go_to_another_node() -> None:
    cluster = link("redis+cluster://a:1,b:2")
    ports = [cluster.listener().connection_pool.connection_kwargs["port"] for _ in range(4)]
    assert ports == [1, 2, 1, 2]
