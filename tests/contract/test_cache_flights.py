"""Shared generations inside one process, against a real Redis: what HTTP can't show."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.cache.board import Board
from gateway.cache.canonical import Addresses
from gateway.cache.manage import CacheKeeper
from gateway.cache.means import Generate, Means
from gateway.cache.stage import ResponseCache
from gateway.call import Call, Message
from gateway.errors import ClientDisconnected, UpstreamError, UpstreamFailed, UpstreamTimeout
from gateway.guard import Guard
from gateway.model_settings import ModelSettings
from gateway.protocol import sse
from gateway.protocol.request import parse
from gateway.protocol.usage import Usage
from gateway.router import Router
from gateway.settings import CacheSettings, PoolSettings
from gateway.store.bytes import ByteStore
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files, read
from gateway.upstream.pool import Model, make_model
from tests.contract.stack import RedisServer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    if server.alive():
        server.end()


def a_model(name: str, metrics: Metrics) -> Model:
    settings = {"id": name, "upstreams": [{"url": "http://127.0.0.1:1"}]}
    return make_model(
        ModelSettings.model_validate(settings),
        lambda upstream: None,
        PoolSettings(),
        metrics,
        now=time.monotonic,
        draw=random.random,
    )


class Worker:
    """A worker's cache, and callers for it."""

    def __init__(self, store: RedisServer, **settings: Any) -> None:
        self.sheet = make_files()
        self.metrics = Metrics(Meter(Sheet(self.sheet)))
        self.redis = ByteStore(store.url, timeout_s=0.5, watcher=self.metrics)
        self.charged: list[Call] = []
        self.ahead_s = 0.0  # of the clock that tells how old answers are
        self.models = {name: a_model(name, self.metrics) for name in ("r1-nano", "r1-small")}
        self.cache = ResponseCache(
            Addresses(b"a secret"),
            Means(
                Board(self.redis, lease_s=0.5),
                CacheSettings(lease_s=0.5, **settings),
                now=lambda: time.time() + self.ahead_s,
                draw=lambda: 0.5,
                make_id=lambda: secrets.token_hex(12),
            ),
            Router(list(self.models.values())),
            self.metrics,
            logging.getLogger("test"),
            self.charged.append,
        )

    def caller(self, generate: Generate, *, text: str = "hi", stream: bool = True) -> Caller:
        return Caller(self, generate, text, stream)

    async def keys(self, ending: str) -> list[str]:
        return [key async for page in self.redis.scan(f"r1:cache:*{ending}") for key in page]


class Caller:
    """One call through the cache, and what its client got."""

    def __init__(self, worker: Worker, generate: Generate, text: str, stream: bool) -> None:
        self.got = b""
        self.ended = False
        self.leaves = asyncio.Event()
        scope: Message = {"headers": []}
        self.call = Call(
            scope, self._receive, self._send, api="chat", now=time.monotonic, make_id=lambda: "x"
        )
        body = {
            "model": "r1-nano",
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
            "stream": stream,
        }
        self.call.asked = parse(orjson.dumps(body), "chat", max_depth=9)
        self.call.model = worker.models["r1-nano"]
        self.task = asyncio.create_task(self._run(worker, generate))

    async def _run(self, worker: Worker, generate: Generate) -> None:
        guard = Guard(self.call, keepalive_s=60, total_s=60, too_late=UpstreamTimeout("late"))
        async with guard:
            await worker.cache(self.call, generate)

    async def _receive(self) -> Message:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.got += message["body"]
            self.ended = not message["more_body"]

    @property
    def text(self) -> str:
        events = [each[6:] for each in self.got.split(b"\n\n") if each.startswith(b"data: {")]
        choices = [choice for each in events for choice in orjson.loads(each)["choices"]]
        return "".join(choice["delta"]["content"] for choice in choices)


class Engine:
    """Says `one two three …`, a word each time it is told to."""

    def __init__(self, words: int = 6) -> None:
        self.words = words
        self.runs = 0
        self.cancelled = 0
        self.allowed = asyncio.Semaphore(0)
        self.model: Model | None = None

    def go(self, words: int = 100) -> None:
        for _ in range(words):
            self.allowed.release()

    async def __call__(self, call: Call) -> None:
        self.runs += 1
        if self.model is not None:
            call.model = self.model
        name = f"run-{self.runs}"
        call.usage = Usage(prompt=3)
        try:
            for i in range(self.words):
                await self.allowed.acquire()
                call.usage.completion += 1
                await call.start_stream()
                await call.write(chunk(name, f"word{i} ", "stop" if i == self.words - 1 else None))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        await call.end(sse.DONE)

    @property
    def whole(self) -> str:
        return "".join(f"word{i} " for i in range(self.words))


def chunk(name: str, text: str, finish: str | None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return sse.event(orjson.dumps({"id": name, "choices": [choice]}))


async def until(condition: Callable[[], Any], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain for: {what}")


@contextlib.asynccontextmanager
async def working(store: RedisServer, **settings: Any) -> AsyncIterator[Worker]:
    worker = Worker(store, **settings)
    try:
        yield worker
    finally:
        await worker.cache.close()


async def test_the_first_callers_place_is_held_while_others_read(store: RedisServer) -> None:
    engine = Engine()
    async with working(store) as here, working(store) as there:
        first = here.caller(engine)
        engine.go(2)
        await until(lambda: first.got, "the first words")
        near, far = here.caller(engine), there.caller(engine)
        await until(lambda: near.got and far.got, "the others to read")
        first.leaves.set()
        near.leaves.set()
        with pytest.raises(ClientDisconnected):
            await near.task
        engine.go(1)
        await until(lambda: "word2" in far.text, "the next word elsewhere")
        assert not first.task.done(), "what its limits reserved is for the generation"
        engine.go()
        await far.task
        with pytest.raises(ClientDisconnected):
            await first.task
        assert first.call.usage == Usage(prompt=3, completion=6)
        assert far.call.usage == Usage(prompt=3, completion=6, cached=3)
        assert far.text == engine.whole
        assert (engine.runs, engine.cancelled) == (1, 0)


async def test_when_all_have_left_the_engine_stops(store: RedisServer) -> None:
    engine = Engine()
    async with working(store) as here, working(store) as there:
        first = here.caller(engine)
        engine.go(1)
        await until(lambda: first.got, "the first word")
        far = there.caller(engine)
        await until(lambda: far.got, "the other to read")
        first.leaves.set()
        await asyncio.sleep(0)
        assert engine.cancelled == 0
        far.leaves.set()
        for each in (first, far):
            with pytest.raises(ClientDisconnected):
                await each.task
        await until(lambda: engine.cancelled == 1, "the engine to stop")
        assert first.call.usage.completion == 1
        assert await here.keys("flight") == await here.keys("answer") == []


async def test_a_store_that_dies_costs_no_answer(store: RedisServer) -> None:
    engine = Engine()
    async with working(store) as here, working(store) as there:
        first = here.caller(engine)
        engine.go(3)
        await until(lambda: "word2" in first.text, "the first words")
        far = there.caller(engine)
        await until(lambda: "word2" in far.text, "the other to read")
        store.end()
        await until(lambda: engine.runs == 2, "the other to go on by itself")
        engine.go()
        await first.task
        await far.task
        assert first.text == far.text == engine.whole
        assert far.got.endswith(sse.DONE)
        assert b"run-2" not in far.got, "a stream keeps its id"


async def test_a_worker_that_lost_its_lease_keeps_nothing(store: RedisServer) -> None:
    engine = Engine()
    async with working(store) as here:
        first = here.caller(engine)
        engine.go(1)
        await until(lambda: first.got, "the first word")
        (flight,) = await here.keys("flight")
        await here.redis.script("cache", "return redis.call('DEL', KEYS[1])", flight, ())
        engine.go()
        await first.task
        assert first.text == engine.whole
        await until(lambda: not here.cache._flights, "the flight to end")
        assert await here.keys("answer") == []


async def test_answers_of_another_model_or_too_long_are_not_kept(store: RedisServer) -> None:
    engine = Engine()
    engine.go(1000)
    async with working(store, max_answer_bytes=1024) as here:
        engine.model = here.models["r1-small"]
        first = here.caller(engine)
        await first.task
        assert first.call.model.id == "r1-small"
        engine.model = None
        engine.words = 50
        await here.caller(engine, text="a long one").task
        await until(lambda: not here.cache._flights, "the flights to end")
        assert await here.keys("answer") == []
        engine.words = 3
        await here.caller(engine, text="a short one").task
        await until(lambda: not here.cache._flights, "the flight to end")
        assert len(await here.keys("answer")) == 1


async def test_a_purge_reaches_answers_being_made(store: RedisServer) -> None:
    engine = Engine()
    async with working(store) as here:
        first = here.caller(engine)
        engine.go(1)
        await until(lambda: first.got, "the first word")
        keeper = CacheKeeper(Board(here.redis, lease_s=1), Addresses(b"a secret"))
        assert await keeper.purge("r1-nano", None) == 0
        engine.go()
        await first.task
        await until(lambda: not here.cache._flights, "the flight to end")
        assert first.text == engine.whole
        assert await here.keys("answer") == []


async def test_a_fault_is_told_to_all_and_not_kept(store: RedisServer) -> None:
    async def fails(call: Call) -> None:
        await waiting.wait()
        raise UpstreamFailed("It broke.", code="upstream_invalid")

    waiting = asyncio.Event()
    async with working(store) as here, working(store) as there:
        callers = [each.caller(fails) for each in (here, here, there)]
        await until(lambda: here.cache._flights and there.cache._flights, "both to fly")
        waiting.set()
        for each in callers:
            with pytest.raises(UpstreamError, match="It broke") as told:
                await each.task
            assert told.value.code == "upstream_invalid"
            assert each.got == b""
        await until(lambda: not here.cache._flights, "the flight to end")
        assert await here.keys("answer") == []


async def test_nothing_is_left_of_callers_who_come_and_go(store: RedisServer) -> None:
    engine = Engine(words=20)
    rng = random.Random(7)
    callers: list[Caller] = []
    async with working(store) as here, working(store) as there:
        for i in range(300):
            callers.append(rng.choice((here, there)).caller(engine, text=f"question {i % 30}"))
            engine.go(rng.randrange(3))
            if rng.random() < 0.7:
                rng.choice(callers).leaves.set()
            await asyncio.sleep(rng.random() * 0.002)
        engine.go(100_000)
        results = await asyncio.gather(*(each.task for each in callers), return_exceptions=True)
        assert results.count(None) > 30
        for each, result in zip(callers, results, strict=True):
            if result is None:
                assert each.text == engine.whole
                assert each.got.endswith(sse.DONE)
            else:
                assert isinstance(result, ClientDisconnected)
                assert engine.whole.startswith(each.text)
        await until(lambda: not here.cache._tasks | there.cache._tasks, "all flights to end")
        assert await here.keys("flight") == await here.keys("readers") == []


async def test_making_a_stale_answer_anew_is_charged_to_the_key_that_asked(
    store: RedisServer,
) -> None:
    engine = Engine(words=4)
    engine.go()
    async with working(store) as worker:
        result = ""
        while result != "hit":
            first = worker.caller(engine)
            await first.task
            result = first.call.cache_result
        assert (worker.charged, engine.runs) == ([], 1)
        # Past the time of an answer (3,600 s), not of a stale one (600 s more).
        worker.ahead_s = 3700
        again = worker.caller(engine)
        await again.task
        assert again.call.cache_result == "stale"
        await until(lambda: worker.charged, "the new answer")
        (made,) = worker.charged
        assert (made.usage.completion, made.key, engine.runs) == (4, again.call.key, 2)
        # Its tokens were made, but nobody waited for the first of them.
        counted = {cell.labels: value for cell, value in read(worker.sheet)}
        assert counted[("model", "r1-nano"), ("kind", "completion")] == 4
        assert made.first_token_counted


async def test_who_has_the_whole_answer_may_leave(store: RedisServer) -> None:
    """OpenAI's clients close the connection at a stream's last event."""
    engine = Engine(words=4)
    engine.go()
    tidied = asyncio.Event()

    async def slow_to_tidy_up(call: Call) -> None:
        await engine(call)
        await tidied.wait()

    async with working(store) as worker:
        caller = worker.caller(slow_to_tidy_up)
        await until(lambda: caller.got.endswith(sse.DONE), "the last event")
        caller.leaves.set()
        # Longer than a leader takes to find out that nobody reads any more.
        await asyncio.sleep(0.6)
        tidied.set()
        await caller.task
        assert engine.cancelled == 0
        again = worker.caller(engine)
        await again.task
        assert again.text == engine.whole
        assert engine.runs == 1
