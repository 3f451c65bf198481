"""How a pool follows the registry."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.settings import PoolSettings
from gateway.store.redis import StoreDown
from gateway.upstream.breaker import State
from gateway.upstream.discovery import Discovery
from gateway.upstream.pool import Model, Upstream, make_model
from gateway.upstream.registry import Replica


class World:
    """A discovery whose readings are handed to it one by one."""

    def __init__(self) -> None:
        self.now = 500.0
        self.readings: asyncio.Queue[list[Replica] | None] = asyncio.Queue()
        self.watched: set[str] = set()
        self.gone: list[str] = []
        settings = ModelSettings(
            id="m", upstreams=(UpstreamSettings(url="http://spare"),), discovery="registry"
        )
        self.model = make_model(
            settings,
            lambda _: None,
            PoolSettings(),
            self,
            now=lambda: self.now,
            draw=random.Random(1).random,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        discovery = Discovery(
            self.model,
            "secret",
            self.read,
            self.watch,
            self,
            logging.getLogger("test"),
            now=lambda: self.now,
            sleep=self.sleep,
        )
        task = asyncio.create_task(discovery.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert self.watched == set()

    async def reads(self, *replicas: Replica | None) -> dict[str, Upstream]:
        """What the pool is after this reading; None is a store that is away."""
        found = [each for each in replicas if each is not None]
        await self.readings.put(found if len(found) == len(replicas) else None)
        for _ in range(10):
            await asyncio.sleep(0)
        return {each.url: each for each in self.model.upstreams}

    async def read(self, model: str) -> list[Replica]:
        assert model == "m"
        reading = await self.readings.get()
        if reading is None:
            raise StoreDown("TimeoutError")
        return reading

    async def sleep(self, seconds: float) -> None:
        assert seconds == PoolSettings().registry_interval_s

    async def watch(self, model: Model, upstream: Upstream) -> None:
        self.watched.add(upstream.name)
        try:
            await asyncio.Event().wait()
        finally:
            self.watched.remove(upstream.name)

    def upstream_gone(self, model: str, upstream: str) -> None:
        self.gone.append(upstream)

    def breaker(self, model: str, upstream: str, state: State) -> None:
        pass


def replica(number: int, host: str, *, draining: bool = False) -> Replica:
    return Replica(f"replica-{number}", f"http://{host}", 8, draining, ("sql",))


async def test_a_pool_follows_the_registry() -> None:
    world = World()
    async with world.running():
        found = await world.reads(replica(1, "a"))
        assert set(found) == {"http://a", "http://spare"}
        a = found["http://a"]
        # Not asked before a look found it well; known from the start, so no slow start.
        assert (a.up, a.since, a.spare) == (False, -math.inf, False)
        assert (a.model, a.authorization, a.capacity, a.adapters) == (
            "m",
            "Bearer secret",
            8,
            ("sql",),
        )
        assert found["http://spare"].spare
        found = await world.reads(replica(1, "a"), replica(2, "b"))
        assert found["http://a"] is a
        assert found["http://b"].since == world.now
        assert world.watched == {"replica-1", "replica-2"}
        found = await world.reads(replica(1, "a", draining=True), replica(2, "b"))
        assert found["http://a"] is a
        assert a.draining
        found = await world.reads(replica(2, "b"))
        assert set(found) == {"http://b", "http://spare"}
        assert (world.watched, world.gone) == ({"replica-2"}, ["replica-1"])


async def test_answers_wait_for_a_replica_that_ends_well_but_not_for_one_that_is_gone() -> None:
    world = World()
    async with world.running():
        found = await world.reads(replica(1, "a"), replica(2, "b"), replica(3, "c"))
        for each in found.values():
            each.up = each.looked_at = True
        await world.reads(replica(1, "a"), replica(2, "b", draining=True), replica(3, "c"))
        await world.reads(replica(3, "c"))
        assert world.model.pool.lost(found["http://a"])
        assert not world.model.pool.lost(found["http://b"])


async def test_what_a_replica_told_is_known_of_the_spare_one() -> None:
    world = World()
    async with world.running():
        found = await world.reads(replica(1, "a"))
        spare = found["http://spare"]
        assert (spare.context_length, spare.think_end) == (None, None)
        found["http://a"].context_length, found["http://a"].think_end = 4096, 128799
        await world.reads(replica(1, "a"))
        assert (spare.context_length, spare.think_end) == (4096, 128799)
        assert await world.reads() == found


async def test_while_the_store_is_away_the_last_known_stay() -> None:
    world = World()
    async with world.running():
        before = await world.reads(replica(1, "a"))
        assert await world.reads(None) == before
        assert await world.reads(None) == before


async def test_when_the_registry_was_emptied_the_last_known_stay_for_a_while() -> None:
    world, keep_s = World(), PoolSettings().registry_keep_s
    async with world.running():
        before = await world.reads(replica(1, "a"), replica(2, "b"))
        assert await world.reads() == before
        # They come back one by one, maybe with other numbers.
        world.now += 1
        assert set(await world.reads(replica(1, "b"))) == set(before)
        world.now += keep_s
        assert set(await world.reads(replica(1, "b"))) == {"http://b", "http://spare"}
        # The next time they don't come back.
        assert len(await world.reads()) == 2
        world.now += keep_s
        assert set(await world.reads()) == {"http://spare"}
        assert world.watched == set()


async def test_draining_replicas_that_leave_an_empty_registry_are_gone() -> None:
    world = World()
    async with world.running():
        await world.reads(replica(1, "a", draining=True))
        assert set(await world.reads()) == {"http://spare"}


async def test_a_number_that_is_given_again_is_another_replica() -> None:
    world = World()
    async with world.running():
        before = await world.reads(replica(1, "a"), replica(2, "b"))
        after = await world.reads(replica(2, "a"), replica(1, "b"))
        assert {name: each.name for name, each in after.items() if not each.spare} == {
            "http://a": "replica-2",
            "http://b": "replica-1",
        }
        assert after["http://a"] is not before["http://a"]
        assert world.watched == {"replica-1", "replica-2"}
