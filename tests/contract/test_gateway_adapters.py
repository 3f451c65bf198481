"""LoRA adapters that replicas tell of: models of their own, asked where they are loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from serving.registry import Registry, Replica
from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator, wait_for

pytestmark = pytest.mark.timeout(120)
NAMES = ("--model", "r1-nano", "--model", "hex", "--model", "words")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.end()


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[list[Simulator]]:
    made = [Simulator(tmp_path, *NAMES) for _ in range(2)]
    yield made
    for each in made:
        each.end()


def announce(store: RedisServer, server: Simulator, *adapters: str) -> None:
    async def write() -> None:
        redis = Redis.from_url(store.url)
        replica = Replica(server.url, "r1-nano", capacity=64, adapters=adapters)
        await Registry(redis, ttl_s=600).announce(replica)
        await redis.aclose()

    asyncio.run(write())


def models(gateway: Gateway) -> list[str]:
    listed = HTTP.get(gateway.url + "/v1/models", headers=gateway.headers).json()["data"]
    return [each["id"] for each in listed]


def asked(server: Simulator) -> list[str]:
    return [each["model"] for each in server.seen()["seen"]]


def ask(gateway: Gateway, model: str, number: int = 0) -> httpx.Response:
    """Each number is another conversation, for one stays at one replica."""
    return gateway.post(model=model, messages=[{"role": "user", "content": f"{number}?"}])


def test_an_adapter_is_a_model_where_it_is_loaded_and_none_where_not(
    tmp_path: Path, store: RedisServer, replicas: list[Simulator]
) -> None:
    first, second = replicas
    announce(store, first, "hex")
    announce(store, second, "hex", "words")
    gateway = Gateway(
        tmp_path / "gw",
        store,
        [{"url": second.url}],
        model={"discovery": "registry"},
        pool={"registry_interval_s": 0.1, "slow_start_s": 0},
    )
    try:
        wait_for(lambda: models(gateway) == ["r1-nano", "hex", "words"], "both adapters")
        wait_for(lambda: gateway.value("r1_upstream_up", model="hex") == 2, "their replicas")
        wait_for(lambda: gateway.value("r1_upstream_up", model="words") == 1, "its replica")
        for each in replicas:
            each.reset()
        for number in range(6):
            answer = ask(gateway, "words", number)
            assert answer.status_code == 200
            assert answer.json()["model"] == "words"
        assert asked(first) == []
        assert asked(second) == ["words"] * 6, "asked by its own name, where it is loaded"
        assert {ask(gateway, "hex", number).status_code for number in range(40)} == {200}
        assert asked(first).count("hex") > 0
        assert asked(second).count("hex") > 0

        announce(store, second, "hex")
        wait_for(lambda: models(gateway) == ["r1-nano", "hex"], "it to go")
        refused = ask(gateway, "words")
        assert refused.status_code == 404
        assert refused.json()["error"]["code"] == "model_not_found"
        assert ask(gateway, "r1-nano").status_code == 200

        announce(store, first, "hex", "words")
        wait_for(lambda: gateway.value("r1_upstream_up", model="words") == 1, "it to be back")
        wait_for(lambda: ask(gateway, "words").status_code == 200, "it to answer")
        assert "words" in asked(first)
    finally:
        gateway.end()


def test_what_loads_adapters_cannot_be_reached_from_outside(
    tmp_path: Path, store: RedisServer, replicas: list[Simulator]
) -> None:
    server = replicas[0]
    gateway = Gateway(tmp_path / "gw", store, [{"url": server.url}])
    try:
        for path in ("/adapters", "/load_lora_adapter", "/unload_lora_adapter"):
            for prefix in ("", "/v1", "/v1/models/..", "/v1//"):
                body = {"lora_name": "x", "lora_path": "/etc"}
                for method in ("GET", "POST"):
                    answer = HTTP.request(
                        method, gateway.url + prefix + path, json=body, headers=gateway.headers
                    )
                    assert answer.status_code in (404, 405), (method, prefix + path)
        assert server.seen()["seen"] == []
    finally:
        gateway.end()
