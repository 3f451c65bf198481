"""One Redis, one simulated vLLM and one gateway for most tests; faults get their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.keyed import LEASE_S, PRICES
from tests.contract.stack import Gateway, RedisServer, Simulator


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def redis(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    yield server
    server.end()


@pytest.fixture(autouse=True)
def full_budgets(request: pytest.FixtureRequest) -> None:
    """No test has to live with the retry budget that others have spent."""
    if "redis" in request.fixturenames:
        store: RedisServer = request.getfixturevalue("redis")
        store.refill()


@pytest.fixture(scope="session")
def shared_vllm(folder: Path) -> Iterator[Simulator]:
    key = folder / "engine.key"
    key.write_text("engine-secret")
    server = Simulator(folder, "--key-file", str(key))
    yield server
    server.end()


@pytest.fixture(scope="module")
def model_server(folder: Path) -> Iterator[Simulator]:
    """One for the tests of a file alone."""
    server = Simulator(folder)
    yield server
    server.end()


@pytest.fixture(scope="session")
def gateway(folder: Path, redis: RedisServer, shared_vllm: Simulator) -> Iterator[Gateway]:
    (folder / "shared").mkdir()
    (folder / "shared" / "engine.key").write_text("engine-secret")
    process = Gateway(
        folder / "shared",
        redis,
        [{"url": shared_vllm.url + "/r1-nano", "key_file": "engine.key"}],
        listen={"workers": 2, "sse_keepalive_s": 0.3, "body_keepalive_s": 0.6},
        model={"timeouts": {"idle_s": 3, "first_byte_s": 5}},
    )
    yield process
    assert process.end() == 0


@pytest.fixture(scope="session")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The store of `limited` alone."""
    server = RedisServer(tmp_path_factory.mktemp("store"))
    yield server
    server.end()


@pytest.fixture(scope="session")
def limited(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer, shared_vllm: Simulator
) -> Iterator[Gateway]:
    """A gateway of two workers with prices, where limits are looked at often."""
    folder = tmp_path_factory.mktemp("limited")
    (folder / "engine.key").write_text("engine-secret")
    process = Gateway(
        folder,
        own_store,
        [{"url": shared_vllm.url + "/r1-nano", "key_file": "engine.key"}],
        listen={"workers": 2},
        model={"prices": PRICES},
        limits={"lease_s": LEASE_S, "watch_interval_s": 0.2},
    )
    yield process
    assert process.end() == 0


@pytest.fixture
def vllm(shared_vllm: Simulator) -> Iterator[Simulator]:
    """The shared stand-in, in health at the beginning and at the end."""
    shared_vllm.reset()
    yield shared_vllm
    shared_vllm.reset()


@pytest.fixture(scope="module")
def engines(folder: Path) -> Iterator[tuple[Simulator, Simulator]]:
    """Two servers of one model."""
    pair = Simulator(folder), Simulator(folder)
    yield pair
    for each in pair:
        each.end()


@pytest.fixture
def pair(engines: tuple[Simulator, Simulator]) -> tuple[Simulator, Simulator]:
    """The two in health."""
    for each in engines:
        each.reset()
    return engines
