"""What a replica writes, and when."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as NoRedis

from serving import registry
from serving.registry import Registry, Replica, WrongStoreUrl, connect


class Redis:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.gone: list[str] = []
        self.waiting = 0
        self.away = False

    async def eval(self, script: str, keys: int, *words: Any) -> int:
        if self.away:
            raise NoRedis("away")
        assert words[:keys] == ("r1:replicas:m", "r1:demand:m")
        self.told.append({"url": words[keys], **json.loads(words[keys + 1])})
        return self.waiting

    async def hdel(self, key: str, url: str) -> None:
        self.gone.append(url)


@contextlib.asynccontextmanager
async def kept(redis: Redis, entry: Any, heard: Any = lambda _: None) -> AsyncIterator[None]:
    registered: Any = redis
    keeping = asyncio.create_task(Registry(registered, renew_s=3600).keep(entry, heard))
    yield
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_LOOK_S", 0.0)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_entry_tells_what_a_gateway_may_want_to_know() -> None:
    redis: Any = Redis()
    redis.waiting = 7
    entry = Replica(
        "http://a",
        "m",
        8,
        adapters=("sql",),
        load=3,
        kv_used=0.25,
        prefix_hits=0.5,
        weights="hf://a",
    )
    assert await Registry(redis).announce(entry) == 7
    assert redis.told == [
        {
            "url": "http://a",
            "capacity": 8,
            "state": "ready",
            "adapters": ["sql"],
            "load": 3,
            "kv_used": 0.25,
            "prefix_hits": 0.5,
            "weights": "hf://a",
        }
    ]


async def test_a_new_state_is_told_at_once_and_the_load_when_it_is_due() -> None:
    redis = Redis()
    now = Replica("http://a", "m", 8)
    heard: list[int] = []
    redis.waiting = 2
    async with kept(redis, lambda: now, heard.append):
        await turns()
        now = Replica("http://a", "m", 8, load=5)
        await turns()
        assert len(redis.told) == 1
        now = Replica("http://a", "m", 8, state="draining")
        await turns()
        now = Replica("http://a", "m", 8, state="draining", adapters=("x",))
        await turns()
    assert [each["state"] for each in redis.told] == ["ready", "draining", "draining"]
    assert redis.gone == ["http://a"]
    assert heard == [2, 2, 2]


async def test_nothing_is_told_before_there_is_an_address() -> None:
    redis = Redis()
    now: Replica | None = None
    async with kept(redis, lambda: now):
        await turns()
    assert (redis.told, redis.gone) == ([], [])


async def test_a_store_that_is_away_is_asked_again() -> None:
    redis = Redis()
    redis.away = True
    now = Replica("http://a", "m", 8)
    async with kept(redis, lambda: now):
        await turns()
        redis.away = False
        now = Replica("http://a", "m", 8, state="draining")
        await turns()
    assert [each["state"] for each in redis.told] == ["draining"]


@pytest.mark.parametrize(
    "url",
    [
        "http://:hidden@127.0.0.1/0",
        "redis://:hidden@127.0.0.1:hidden/0",
        "redis+sentinel://:hidden@127.0.0.1:1",
        "redis+sentinel://:hidden@127.0.0.1:hidden/main",
        "hidden",
    ],
)
def test_a_wrong_url_is_a_sentence_without_the_url(url: str) -> None:
    with pytest.raises(WrongStoreUrl, match="R1_REGISTRY_URL is no URL of a Redis") as found:
        connect(url)
    assert "hidden" not in str(found.value)


async def test_a_store_may_be_one_server_a_cluster_or_behind_sentinels() -> None:
    for url, kind in (
        ("redis://:p@127.0.0.1:1/0", "Redis"),
        ("redis+cluster://:p@127.0.0.1:1,127.0.0.1:2", "RedisCluster"),
        ("rediss+sentinel://u:p@127.0.0.1:1,127.0.0.1/main/2", "Redis"),
    ):
        client: Any = connect(url)
        assert type(client).__name__ == kind
        await client.aclose()


def test_what_sentinels_are_told_is_in_the_url() -> None:
    client: Any = connect("redis+sentinel://u:p%40@10.0.0.1:1,10.0.0.2/main/2")
    pool = client.connection_pool
    assert pool.service_name == "main"
    asked = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
    hosts = [(each["host"], each["port"]) for each in asked]
    assert hosts == [("10.0.0.1", 1), ("10.0.0.2", 26379)]
    given = pool.connection_kwargs
    assert (given["username"], given["password"], given["db"]) == ("u", "p@", 2)
