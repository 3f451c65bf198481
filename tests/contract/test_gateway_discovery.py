"""Replicas that register themselves: they come, drain, go, and die."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from redis.asyncio import Redis

from gateway.store.redis import Store
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files
from gateway.upstream.registry import read_replicas
from serving.registry import Registry, Replica
from tests.contract.stack import (
    Gateway,
    RedisServer,
    Simulator,
    free_port,
    read_stream,
    stream,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def key_file(folder: Path) -> Path:
    file = folder / "replicas.key"
    file.write_text("replica-secret")
    return file


@pytest.fixture(scope="module")
def engines(folder: Path, key_file: Path) -> Iterator[list[Simulator]]:
    made = [Simulator(folder, "--key-file", str(key_file)) for _ in range(3)]
    yield made
    for each in made:
        each.end()


@pytest.fixture
def replicas(engines: list[Simulator]) -> list[Simulator]:
    for each in engines:
        each.reset()
    return engines


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    """A store of its own, with a registry that only one test writes to."""
    server = RedisServer(tmp_path)
    yield server
    if server.alive():
        server.end()


def announce(
    store: RedisServer, *servers: Simulator, state: Literal["ready", "draining"] = "ready"
) -> None:
    asyncio.run(_write(store, servers, state))


async def _write(
    store: RedisServer, servers: tuple[Simulator, ...], state: Literal["ready", "draining"]
) -> None:
    redis = Redis.from_url(store.url)
    for each in servers:
        replica = Replica(each.url, "r1-nano", capacity=256, state=state)
        await Registry(redis, ttl_s=600).announce(replica)
    await redis.aclose()


def withdraw(store: RedisServer, server: Simulator) -> None:
    async def write() -> None:
        redis = Redis.from_url(store.url)
        await Registry(redis).withdraw(Replica(server.url, "r1-nano", capacity=256))
        await redis.aclose()

    asyncio.run(write())


def discovering(
    folder: Path,
    store: RedisServer,
    key_file: Path,
    spare: str,
    replicas: int,
    batching: dict[str, int] | None = None,
) -> Gateway:
    gateway = Gateway(
        folder / "gw",
        store,
        [{"url": spare, "key_file": str(key_file)}],
        listen={"workers": 2},
        model={
            "discovery": "registry",
            "discovery_key_file": str(key_file),
            **({"batching": batching} if batching else {}),
        },
        retry={"attempts": 3, "base_s": 0.01},
        pool={"registry_interval_s": 0.1, "registry_keep_s": 1, "slow_start_s": 0.1},
        wait=False,
    )
    wait_for(lambda: len(gateway.events("worker_ready")) == 2, "the workers", 45)
    known(gateway, replicas)
    return gateway


def known(gateway: Gateway, count: int) -> None:
    """Wait until both workers ask so many replicas."""

    def looks() -> bool:
        found = [line for line in gateway.events("upstream") if line["up"]]
        gone = gateway.events("replica_gone")
        found = [line for line in found if line["upstream"].startswith("replica-")]
        return len(found) - len(gone) == 2 * count

    wait_for(looks, f"{count} replicas")


def talk(gateway: Gateway, count: int) -> set[int]:
    def say(number: int) -> int:
        return gateway.post(messages=[{"role": "user", "content": f"{number}?"}]).status_code

    with ThreadPoolExecutor(4) as crowd:
        return set(crowd.map(say, range(count)))


def asked(server: Simulator) -> int:
    return len(server.seen()["seen"])


def nothing_new(server: Simulator, gateway: Gateway) -> bool:
    before = asked(server)
    return talk(gateway, 20) == {200} and asked(server) == before


def test_replicas_come_drain_and_go(
    tmp_path: Path, store: RedisServer, key_file: Path, replicas: list[Simulator]
) -> None:
    first, second, spare = replicas
    gateway = discovering(tmp_path, store, key_file, spare.url, replicas=0)
    try:
        # None is registered: the configured server is asked, which may wake the model. The first
        # answer already tells what only a look at the server can.
        usage = gateway.post(messages=[{"role": "user", "content": "?"}]).json()["usage"]
        assert usage["completion_tokens_details"]["reasoning_tokens"] > 0
        assert talk(gateway, 9) == {200}
        assert asked(spare) == 10
        announce(store, first)
        known(gateway, 1)
        assert talk(gateway, 10) == {200}
        assert (asked(first), asked(spare)) == (10, 10)
        announce(store, second)
        known(gateway, 2)
        wait_for(lambda: talk(gateway, 10) == {200} and asked(second) >= 10, "its share")

        for each in (first, second):
            each.control(step_s=0.05)
        events: list[str] = []

        def read() -> None:
            with stream(gateway) as response:
                events.extend(read_stream(response))

        reader = threading.Thread(target=read)
        reader.start()

        def streaming() -> Simulator | None:
            running = [each for each in (first, second) if each.seen()["running"]]
            return running[0] if running else None

        leaving: Simulator = wait_for(streaming, "the stream")
        (second if leaving is first else first).control(step_s=0.0)
        announce(store, leaving, state="draining")
        wait_for(lambda: nothing_new(leaving, gateway), "it to get nothing new")
        withdraw(store, leaving)
        wait_for(lambda: len(gateway.events("replica_gone")) == 2, "it to go")
        reader.join()
        assert events[-1] == "[DONE]"
        # Names are numbers that are used again; nothing is told of the gone, nor of the server
        # that is not looked at because that might wake it.
        ups = {
            dict(labels)["upstream"]
            for (name, labels) in gateway.samples()
            if name == "r1_upstream_up"
        }
        assert len(ups) == 1
    finally:
        gateway.end()


def test_a_replica_that_is_killed_is_not_noticed_by_callers(
    tmp_path: Path, store: RedisServer, key_file: Path, replicas: list[Simulator]
) -> None:
    victim = Simulator(tmp_path, "--key-file", str(key_file), env={"R1_REGISTRY_URL": store.url})
    announce(store, *replicas[:2])
    gateway = discovering(tmp_path, store, key_file, f"http://127.0.0.1:{free_port()}", 3)
    names = {line["url"]: line["upstream"] for line in gateway.events("replica_found")}

    def attempts() -> float:
        return gateway.value("r1_upstream_attempts_total", upstream=names[victim.url])

    def forgotten() -> bool:
        before = attempts()
        assert talk(gateway, 200) == {200}
        return attempts() - before < 2

    try:
        assert talk(gateway, 200) == {200}
        assert asked(victim) > 20
        victim.end(signal.SIGKILL)
        wait_for(forgotten, "less than 1 % of the requests to go there", 10)
        assert gateway.value("r1_requests_total", code="200") == gateway.value("r1_requests_total")
    finally:
        gateway.end()
        victim.end()


def test_without_the_store_the_last_known_replicas_are_asked(
    tmp_path: Path, store: RedisServer, key_file: Path, replicas: list[Simulator]
) -> None:
    announce(store, *replicas)
    gateway = discovering(tmp_path, store, key_file, f"http://127.0.0.1:{free_port()}", 3)
    try:
        assert talk(gateway, 20) == {200}
        store.end()
        wait_for(
            lambda: gateway.value("r1_store_errors_total", operation="replicas") >= 4,
            "readings of the registry that fail",
        )
        for each in replicas:
            each.reset()
        assert talk(gateway, 60) == {200}
        assert all(asked(each) > 0 for each in replicas)
        # A store that comes back empty knows no replica until they are announced again.
        again = RedisServer(tmp_path, store.port)
        try:
            wait_for(lambda: len(gateway.events("replica_gone")) == 6, "them to go")
            announce(again, *replicas)
            known(gateway, 3)
        finally:
            again.end()
    finally:
        gateway.end()


def test_replicas_hear_of_the_queue_in_front_of_them(
    tmp_path: Path, store: RedisServer, key_file: Path, replicas: list[Simulator]
) -> None:
    engine = replicas[0]
    announce(store, engine)

    def waiting() -> int:
        async def read() -> int:
            redis = Redis.from_url(store.url)
            heard = await Registry(redis, ttl_s=600).announce(
                Replica(engine.url, "r1-nano", capacity=256)
            )
            await redis.aclose()
            return heard

        return asyncio.run(read())

    gateway = discovering(
        tmp_path, store, key_file, f"http://127.0.0.1:{free_port()}", 1, {"low_window": 1}
    )
    try:
        assert waiting() == 0
        engine.control(step_s=0.2)
        with ThreadPoolExecutor(6) as crowd:
            calls = [crowd.submit(gateway.post) for _ in range(6)]
            # One has the only place, each worker tells of its own of the others.
            wait_for(lambda: waiting() == 5, "the queue to be told")
            engine.control(step_s=0.0)
            assert {call.result().status_code for call in calls} == {200}
        wait_for(lambda: waiting() == 0, "its end to be told")
    finally:
        gateway.end()


async def test_names_are_the_lowest_free_numbers_and_stay(store: RedisServer) -> None:
    redis = Redis.from_url(store.url, decode_responses=True)
    watcher = Metrics(Meter(Sheet(make_files())))
    # Two readers, as two gateways are.
    readers = [Store(store.url, timeout_s=5, watcher=watcher) for _ in range(2)]
    registry = Registry(redis, ttl_s=600)

    async def names() -> dict[str, str]:
        first, second = [await read_replicas(each, "m") for each in readers]
        assert sorted(first, key=str) == sorted(second, key=str)
        return {each.url: each.name for each in first}

    def replica(host: str) -> Replica:
        return Replica(f"http://{host}", "m", capacity=1)

    try:
        assert await names() == {}
        for host in "abc":
            await registry.announce(replica(host))
            await names()
        assert await names() == {f"http://{h}": f"replica-{n}" for n, h in enumerate("abc", 1)}
        # One that forgot to say goodbye counts as gone when its time by Redis' clock is over.
        await redis.hset("r1:replicas:m", "http://b", f"{(await redis.time())[0]} {{}}")
        await redis.hset("r1:replicas:m", "http://x", "nonsense")
        await registry.announce(replica("d"))
        given = {"a": "replica-1", "c": "replica-3", "d": "replica-2"}
        assert await names() == {f"http://{host}": name for host, name in given.items()}
    finally:
        for each in readers:
            await each.close()
        await redis.aclose()
