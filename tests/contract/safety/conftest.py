"""A gateway whose model server is a plain socket, for all tests that look at bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.keyed import PRICES
from tests.contract.safety.wire import RawServer
from tests.contract.stack import Gateway, RedisServer, Simulator


@pytest.fixture(scope="session")
def raw_server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def raw_gateway(folder: Path, redis: RedisServer, raw_server: RawServer) -> Iterator[Gateway]:
    """Logs all that there is, at level debug."""
    process = Gateway(
        folder / "raw",
        redis,
        [{"url": raw_server.url}],
        pool={"max_answer_bytes": 1_000_000, "failures": 10**6, "failure_gap": 1},
        env={"R1_GATEWAY__TELEMETRY__LOG_LEVEL": "debug"},
    )
    yield process
    assert process.end() == 0
    assert "Traceback" not in process.text()


@pytest.fixture
def raw(raw_server: RawServer) -> RawServer:
    """The model server, which answers as it should."""
    raw_server.reset()
    return raw_server


@pytest.fixture
def door(raw_gateway: Gateway, raw: RawServer) -> Gateway:
    """The gateway in front of it."""
    return raw_gateway


@pytest.fixture(scope="session")
def house(folder: Path, own_store: RedisServer, shared_vllm: Simulator) -> Iterator[Gateway]:
    """A gateway with all that tenants could take from each other: kept answers, prices, budgets."""
    (folder / "house").mkdir()
    (folder / "house" / "engine.key").write_text("engine-secret")
    process = Gateway(
        folder / "house",
        own_store,
        [{"url": shared_vllm.url + "/r1-nano", "key_file": "engine.key"}],
        listen={"workers": 2},
        model={"prices": PRICES, "cache": {"mode": "always"}},
        retry={"attempts": 2},
    )
    yield process
    assert process.end() == 0
