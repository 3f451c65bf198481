"""`r1 adapters` against replicas and a real Redis: what is asked for, and what became of it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from r1 import cli
from serving.engine.adapter_set import AdapterSet
from serving.engine.adapters import Adapter
from serving.errors import InvalidAdapter
from serving.registry import Registry, Replica
from serving.wanted import WantedAdapters
from tests.contract.stack import RedisServer
from tests.unit.serving.engine.test_adapters import make

MODEL, KEY = "r1-distill-nano", "engine-secret"


class FakeReplica:
    """A replica's own adapters and route, with an engine that refuses what it is told to."""

    def __init__(self, store: RedisServer, most: int = 2) -> None:
        self.refuses: set[str] = set()
        self.adapters = AdapterSet(self, {}, most, lambda: said(store))
        replica = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.answer(replica.adapters.report.document())

            def do_POST(self) -> None:
                self.answer(asyncio.run(replica.adapters.sync()).document())

            def answer(self, document: dict[str, Any]) -> None:
                known = self.headers["authorization"] == f"Bearer {KEY}"
                assert self.path == f"/{MODEL}/v1/adapters"
                self.send_response(200 if known else 401)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode() if known else b"{}")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/{MODEL}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    async def load(self, adapter: Adapter) -> None:
        if adapter.name in self.refuses:
            raise InvalidAdapter(f"{adapter.name}: the engine refused it: rank 64 is too large")

    async def unload(self, name: str) -> None:
        pass

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


async def said(store: RedisServer) -> dict[str, str]:
    redis = Redis.from_url(store.url)
    try:
        return await WantedAdapters(redis, MODEL).read()
    finally:
        await redis.aclose()


async def register(store: RedisServer, *replicas: FakeReplica) -> None:
    redis = Redis.from_url(store.url)
    for each in replicas:
        await Registry(redis, ttl_s=600).announce(Replica(each.url, MODEL, capacity=8))
    await redis.aclose()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.end()


@pytest.fixture
def replicas(store: RedisServer) -> Iterator[list[FakeReplica]]:
    made = [FakeReplica(store), FakeReplica(store)]
    asyncio.run(register(store, *made))
    yield made
    for each in made:
        each.end()


@pytest.fixture
def command(store: RedisServer, tmp_path: Path) -> Any:
    key = tmp_path / "engine.key"
    key.write_text(KEY + "\n")
    where = ("--registry-url", store.url, "--engine-key-file", str(key), "--model", MODEL)
    return lambda *words: cli.main(["adapters", *where, *words])


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(make(tmp_path / "a"))


def test_an_adapter_is_loaded_and_unloaded_at_every_replica(
    command: Any,
    replicas: list[FakeReplica],
    store: RedisServer,
    folder: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("load", f"hex={folder}") == 0
    assert "hex is loaded at all 2 replica(s)" in capsys.readouterr().out
    assert [each.adapters.names for each in replicas] == [("hex",), ("hex",)]
    late = FakeReplica(store)
    try:
        asyncio.run(late.adapters.sync())
        assert late.adapters.names == ("hex",), "a replica that starts later has it too"
    finally:
        late.end()
    assert command("list") == 0
    assert f"{replicas[0].url}  hex" in capsys.readouterr().out
    assert command("unload", "hex") == 0
    assert [each.adapters.names for each in replicas] == [(), ()]
    assert command("unload", "hex-2") == 1
    assert "no replica of r1-distill-nano has hex-2" in capsys.readouterr().err


def test_one_that_nobody_can_load_leaves_nothing_behind(
    command: Any,
    replicas: list[FakeReplica],
    store: RedisServer,
    folder: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for each in replicas:
        each.refuses = {"hex"}
    assert command("load", f"hex={folder}") == 1
    told = capsys.readouterr().out
    assert told.count("rank 64 is too large") == 2
    assert "hex can't be loaded anywhere; nothing has changed" in told
    assert asyncio.run(said(store)) == {}


def test_other_weights_under_a_known_name_are_refused_and_the_old_ones_stay(
    command: Any,
    replicas: list[FakeReplica],
    store: RedisServer,
    folder: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("load", f"hex={folder}") == 0
    assert command("load", f"hex={make(tmp_path / 'b', weights=b'others')}") == 1
    told = capsys.readouterr().out
    assert told.count("give the new weights a new one") == 2
    assert "nothing has changed" in told
    assert asyncio.run(said(store)) == {"hex": folder}
    assert [each.adapters.names for each in replicas] == [("hex",), ("hex",)]


def test_a_failure_at_some_replicas_is_told_for_each(
    command: Any,
    replicas: list[FakeReplica],
    store: RedisServer,
    folder: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    replicas[0].refuses = {"hex"}
    assert command("load", f"hex={folder}") == 1
    told = capsys.readouterr().out
    assert f"{replicas[0].url}: hex: the engine refused it: rank 64 is too large" in told
    assert "hex is loaded at 1 of 2 replicas; the others try again by themselves" in told
    assert asyncio.run(said(store)) == {"hex": folder}
    assert command("list") == 1
    assert "can't load hex: the engine refused it" in capsys.readouterr().out
    replicas[0].refuses = set()
    replicas[1].end()
    assert command("unload", "hex") == 1
    told = capsys.readouterr().out
    assert "doesn't answer" in told
    assert "hex is unloaded at 1 of 2 replicas" in told


def test_while_no_replica_runs_it_is_kept_for_those_to_come(
    command: Any, store: RedisServer, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("load", f"hex={folder}") == 0
    assert "will be loaded by replicas that start; there is none now" in capsys.readouterr().out
    assert asyncio.run(said(store)) == {"hex": folder}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("load", "Hex=/x"), "can't be an adapter's name"),
        (("load", "hex"), "give NAME=DIR"),
        (("load", "r1-nano=/x"), "the name r1-nano is a model's"),
        (("unload", "../hex"), "can't be an adapter's name"),
    ],
)
def test_wrong_words_are_a_sentence(
    command: Any, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*words) == 1
    assert told in capsys.readouterr().err
