"""Redis dead, slow, or behind a lost network: that of the keys, and that of the cache."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as redis_client
from redis.asyncio import Redis

from gateway.auth import manage
from gateway.auth.keys import make_key
from serving.registry import Registry, Replica
from tests.contract.keyed import ask, code, make
from tests.contract.stack import Gateway, RedisServer, Simulator, answers, free_port, wait_for
from tests.contract.wire import Fault, Wire

pytestmark = pytest.mark.timeout(240)

FAULTS: tuple[Fault, ...] = ("dead", "slow", "lost")
TIMEOUT_S = 0.5  # store.timeout_s
PATIENCE = 3  # operations on the keys' store that may wait for it in vain
questions = itertools.count()


class Away:
    """A gateway whose two stores are each behind a wire of their own."""

    def __init__(self, folder: Path, engine: Simulator) -> None:
        self.engine = engine
        self.declared = make_key(random.choice)
        self.keys = RedisServer(folder)
        self.cache = RedisServer(folder)
        self.wires = {"keys": Wire(self.keys.port), "cache": Wire(self.cache.port)}
        self.announce()
        (folder / "declared.yaml").write_text(
            f"keys:\n  - {{name: declared, tenant: acme, key: {self.declared}}}\n"
        )
        self.gateway = Gateway(
            folder / "gw",
            self.keys,
            # Only the registry leads to a server that answers.
            [{"url": f"http://127.0.0.1:{free_port()}"}],
            store={
                "url": self.wires["keys"].url(),
                "cache_url": self.wires["cache"].url(),
                "timeout_s": TIMEOUT_S,
            },
            auth={"cache_ttl_s": 0.2, "bootstrap_file": str(folder / "declared.yaml")},
            model={
                "discovery": "registry",
                "discovery_key_file": str(folder / "engine.key"),
                "cache": {"mode": "deterministic"},
            },
            pool={"registry_interval_s": 0.2},
            wait=False,
        )
        wait_for(lambda: answers(self.gateway.admin_url + "/readyz"), "the gateway", 45)
        wait_for(lambda: self.ask(self.gateway.key).status_code == 200, "the replica")
        self.limited = make(self.gateway, rpm=10_000, tpm=10**9).key

    def announce(self) -> None:
        """Put the engine into the registry, as it does itself every few seconds."""

        async def write() -> None:
            redis = Redis.from_url(self.keys.url)
            replica = Replica(self.engine.url, "r1-nano", capacity=256)
            await Registry(redis, ttl_s=600).announce(replica)
            await redis.aclose()

        asyncio.run(write())

    def ask(self, key: str, **body: Any) -> httpx.Response:
        return ask(self.gateway, key, temperature=0, **body)

    def new_question(self) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": f"{next(questions)}+1?"}]}

    def degraded(self, store: str) -> bool:
        return self.gateway.value("r1_store_degraded", store=store) > 0

    def ready(self) -> bool:
        return answers(self.gateway.url + "/readyz") and answers(self.gateway.admin_url + "/readyz")

    def errors(self, operation: str) -> float:
        return self.gateway.value("r1_store_errors_total", operation=operation)

    def end(self) -> None:
        assert self.gateway.end() == 0
        for each in self.wires.values():
            each.close()
        self.keys.end()
        self.cache.end()


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory, shared_vllm: Simulator) -> Iterator[Away]:
    folder = tmp_path_factory.mktemp("away")
    (folder / "engine.key").write_text("engine-secret")
    one = Away(folder, shared_vllm)
    yield one
    one.end()


@pytest.fixture
def whole(away: Away, vllm: Simulator) -> Iterator[Away]:
    """With both stores there, at the beginning and at the end."""
    yield away
    for wire in away.wires.values():
        wire.mend()
    wait_for(lambda: not away.degraded("keys") and not away.degraded("cache"), "recovery")


def test_an_operator_is_told_of_stores_that_are_not_set_up_for_it(whole: Away) -> None:
    """Neither keeps a log, and neither evicts: wrong for keys, and wrong for answers."""

    def told() -> set[tuple[str, str]]:
        lines = whole.gateway.events("store_unsuited")
        return {(line["store"], line["fault"].rpartition(": ")[2]) for line in lines}

    wanted = {
        ("keys", "set appendonly yes"),
        ("cache", "set maxmemory-policy allkeys-lru"),
        ("cache", "set maxmemory"),
    }
    wait_for(lambda: told() == wanted, "the warnings")


@pytest.mark.parametrize("fault", FAULTS)
def test_the_store_of_the_keys_is_away(whole: Away, fault: Fault) -> None:
    away, known, stranger = whole, whole.gateway.key, make(whole.gateway).key
    for key in (known, away.limited):
        assert away.ask(key).status_code == 200
    assert "x-ratelimit-limit-requests" in away.ask(away.limited).headers
    unchecked = away.errors("reserve")
    away.wires["keys"].fail(fault)

    began = time.monotonic()
    served = [
        away.ask(key, **away.new_question()) for key in (known, away.limited) for _ in range(12)
    ]
    took_s = time.monotonic() - began
    assert {each.status_code for each in served} == {200}
    # The first ones wait for the store, and then nobody does: 24 calls ask it 36 times.
    assert took_s < (PATIENCE + 12) * TIMEOUT_S
    assert "x-ratelimit-limit-requests" not in served[-1].headers
    refused = away.ask(stranger)
    assert (refused.status_code, code(refused)) == (503, "store_unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert away.errors("reserve") >= unchecked + 12
    assert away.degraded("keys")
    assert not away.degraded("cache")
    assert away.ready()
    # The other store works on.
    again = away.new_question()
    assert away.ask(known, **again).headers["x-r1-cache"] == "miss"
    wait_for(lambda: away.ask(known, **again).headers["x-r1-cache"] == "hit", "the kept answer")

    away.wires["keys"].mend()
    # Nobody asks for anything: it is found again all the same.
    wait_for(lambda: not away.degraded("keys"), "recovery without a request")
    assert away.ask(stranger).status_code == 200
    assert "x-ratelimit-limit-requests" in away.ask(away.limited).headers


@pytest.mark.parametrize("fault", FAULTS)
def test_the_store_of_the_cache_is_away(whole: Away, fault: Fault) -> None:
    away, question = whole, whole.new_question()
    assert away.ask(away.limited, **question).headers["x-r1-cache"] == "miss"
    wait_for(lambda: away.ask(away.limited, **question).headers["x-r1-cache"] == "hit", "a hit")
    away.wires["cache"].fail(fault)
    began = time.monotonic()
    served = [away.ask(away.limited, **question) for _ in range(12)]
    assert time.monotonic() - began < 12 * TIMEOUT_S
    assert {each.status_code for each in served} == {200}
    assert {each.headers["x-r1-cache"] for each in served} <= {"bypass", "miss"}
    # Keys and limits are none of its business.
    assert all("x-ratelimit-limit-requests" in each.headers for each in served)
    assert away.ask(make(away.gateway).key, **question).status_code == 200
    assert away.degraded("cache")
    assert not away.degraded("keys")
    assert away.errors("cache") > 0
    assert away.ready()
    away.wires["cache"].mend()
    wait_for(lambda: not away.degraded("cache"), "recovery without a request")
    wait_for(lambda: away.ask(away.limited, **question).headers["x-r1-cache"] == "hit", "a hit")


def test_a_flushed_store_gets_its_keys_back(whole: Away) -> None:
    away, gateway = whole, whole.gateway
    url, pepper = away.keys.url, gateway.pepper_file
    lines = manage.export_keys(url, pepper)
    assert all(
        away.ask(key).status_code == 200 for key in (away.declared, gateway.key, away.limited)
    )
    with redis_client.Redis.from_url(url) as client:
        client.flushall()
        client.script_flush()
    seen: list[int] = []

    def back(key: str) -> bool:
        seen.append(away.ask(key).status_code)
        return seen[-1] == 200

    wait_for(lambda: away.ask(gateway.key).status_code == 401, "the other keys to be gone")
    wait_for(lambda: back(away.declared), "the declared key to come back by itself", 10)
    assert away.ask(gateway.key).status_code == 401
    manage.import_keys(url, pepper, lines)
    wait_for(lambda: back(gateway.key) and back(away.limited), "the imported keys", 5)
    assert max(seen) < 500
    # The scripts came back with the first who needed them.
    assert "x-ratelimit-limit-requests" in away.ask(away.limited).headers
    away.announce()
