"""Places given out by the store to several workers at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.batching.board import Claim, Offer, SharedBoard, Standing
from gateway.store.redis import Store
from tests.contract.stack import RedisServer

URLS = ("http://one", "http://two")


class Nobody:
    """Hears nothing."""

    def store_ok(self, store: Any) -> None:
        """Ignored."""

    def store_failed(self, store: Any, operation: str) -> None:
        """Ignored."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    process = RedisServer(tmp_path_factory.mktemp("board"))
    yield process
    process.end()


@asynccontextmanager
async def store(server: RedisServer) -> AsyncIterator[Store]:
    made = Store(server.url, timeout_s=5.0, watcher=Nobody())
    yield made
    await made.close()


class Worker:
    """A worker as the board sees it."""

    def __init__(self, store: Store, name: str, model: str, *, lease_s: float = 30.0) -> None:
        self.board = SharedBoard(store, name, lease_s=lease_s)
        self.model = model
        self.used = dict.fromkeys(URLS, 0)
        self.held = dict.fromkeys(URLS, 0)
        self.last: Standing | None = None

    async def trade(self, wish: int = 0, *, waiting: int = 0, start: int = 4, **more: Any) -> Any:
        """Ask for `wish` places more than are used, at each replica."""
        claims = [Claim(url, self.used[url], self.used[url] + wish, start) for url in URLS]
        state = {"used": self.used, "waiting": waiting, "keys": {}, "rate": 0.0}
        self.last = await self.board.trade(self.model, Offer(claims, waiting, state, **more))
        self.held = {url: place.held for url, place in self.last.places.items()}
        return self.last


async def test_windows_are_never_exceeded_and_no_place_is_left_unused(
    server: RedisServer,
) -> None:
    rng = random.Random(7)
    async with store(server) as made:
        workers = [Worker(made, f"w{number}", "random") for number in range(4)]
        for _ in range(600):
            worker = rng.choice(workers)
            for url in URLS:
                worker.used[url] = rng.randint(0, worker.held[url])
            wish = rng.randint(0, 5)
            standing = await worker.trade(wish, waiting=wish)
            for url in URLS:
                assert worker.held[url] >= worker.used[url]
                assert standing.places[url].total <= 4
                assert worker.held[url] <= standing.places[url].total
        for worker in workers:
            worker.used = dict.fromkeys(URLS, 0)
            await worker.trade()
        standing = await workers[0].trade(8, waiting=8)
        assert workers[0].held == dict.fromkeys(URLS, 4)
        assert standing.others == 0


async def test_a_window_that_shrinks_takes_the_places_that_come_free(server: RedisServer) -> None:
    async with store(server) as made:
        one, other = Worker(made, "one", "shrink"), Worker(made, "other", "shrink")
        for worker in (one, other):
            await worker.trade(4, waiting=4, start=8)
            worker.used = dict(worker.held)
        assert (sum(one.used.values()), sum(other.used.values())) == (8, 8)
        # What is used is nobody's to take.
        standing = await one.trade(4, waiting=8, windows=dict.fromkeys(URLS, 3.7))
        assert one.held == one.used
        for left in (3, 2, 1):
            # One ends at each worker and replica, and many wait.
            for worker in (one, other):
                worker.used = dict.fromkeys(URLS, left)
                standing = await worker.trade(4, waiting=8)
            total = 2 * left
            if total >= 3:
                assert one.held == other.held == dict.fromkeys(URLS, left)
        assert {place.total for place in standing.places.values()} == {3}


async def test_who_has_waited_longest_gets_the_next_place(server: RedisServer) -> None:
    async with store(server) as made:
        holder, early, late = (Worker(made, name, "line") for name in ("a", "c", "b"))
        await holder.trade(8, waiting=8)
        holder.used = dict(holder.held)
        await early.trade(1, waiting=1)
        await late.trade(1, waiting=1)
        assert (sum(early.held.values()), sum(late.held.values())) == (0, 0)
        holder.used[URLS[0]] -= 1
        told = await holder.trade(0)
        assert told.others == 1
        await late.trade(1, waiting=1)
        await early.trade(1, waiting=0)
        assert (sum(early.held.values()), sum(late.held.values())) == (1, 0)


async def test_a_worker_that_says_nothing_more_loses_its_places(server: RedisServer) -> None:
    async with store(server) as made:
        dead = Worker(made, "dead", "lease", lease_s=0.3)
        heir = Worker(made, "heir", "lease")
        await dead.trade(4, waiting=4)
        await heir.trade(4, waiting=4)
        before = sum(heir.held.values())
        end = time.monotonic() + 10
        while sum(heir.held.values()) < 8 and time.monotonic() < end:
            await asyncio.sleep(0.05)
            await heir.trade(4, waiting=4)
        assert before < sum(heir.held.values()) == 8


async def test_a_worker_that_leaves_gives_its_places_back_at_once(server: RedisServer) -> None:
    async with store(server) as made:
        leaving, heir = Worker(made, "leaving", "left"), Worker(made, "heir", "left")
        await leaving.trade(4, waiting=4)
        leaving.used = dict(leaving.held)
        await leaving.board.leave("left")
        standing = await heir.trade(8, waiting=8)
        assert heir.held == dict.fromkeys(URLS, 4)
        assert standing.states == []


async def test_places_in_use_are_known_again_after_a_flush(server: RedisServer) -> None:
    async with store(server) as made:
        one, other = Worker(made, "one", "flushed"), Worker(made, "other", "flushed")
        await one.trade(4, waiting=4)
        one.used = dict(one.held)
        await made.script("flush", "return redis.call('FLUSHALL')", "r1:x", ())
        await one.trade()
        await other.trade(8, waiting=8)
        assert sum(other.held.values()) == 8 - sum(one.used.values())


async def test_one_worker_sets_the_windows_by_what_all_saw(server: RedisServer) -> None:
    async with store(server) as made:
        chief, other = Worker(made, "a", "chief"), Worker(made, "b", "chief")
        await chief.trade()
        seen = {URLS[0]: {"gaps": {3: [2, 4]}, "firsts": {}}}
        assert not (await other.trade(report=seen)).chief
        standing = await chief.trade(report={}, windows={URLS[0]: 9.5})
        assert standing.chief
        assert {"3": [2, 4]} in [each[URLS[0]]["gaps"] for each in standing.reports if each]
        told = await other.trade(20, waiting=20)
        assert told.places[URLS[0]].window == 9.5
        assert told.places[URLS[0]].held == 9
        # A smaller window takes no place from a request that has it.
        other.used = dict(other.held)
        await chief.trade(windows={URLS[0]: 2.0})
        assert (await other.trade()).places[URLS[0]].held == 9
