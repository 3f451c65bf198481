"""Adapters that replicas tell of are models of their own, asked of those that have them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.errors import ModelNotFound
from gateway.model_settings import ModelSettings
from gateway.router import Router
from gateway.settings import PoolSettings
from gateway.store.redis import StoreDown
from gateway.upstream.adapters import Adapters, Read, described, present
from gateway.upstream.breaker import State
from gateway.upstream.pool import Model, make_model
from gateway.upstream.registry import Replica

BASE = ModelSettings.model_validate(
    {
        "id": "base",
        "aliases": ["other"],
        "discovery": "registry",
        "context_length": 4096,
        "prices": {"output": 2.0},
        "upstreams": [{"url": "http://spare", "model": "base-there"}],
        "fallbacks": ["taken"],
    }
)
TAKEN = ModelSettings.model_validate({"id": "taken", "upstreams": [{"url": "http://vllm"}]})


def replica(number: int, *adapters: str) -> Replica:
    return Replica(f"replica-{number}", f"http://{number}", 8, False, adapters)


class World:
    """A registry whose readings are handed over one by one."""

    def __init__(self) -> None:
        self.readings: asyncio.Queue[list[Replica] | None] = asyncio.Queue()
        self.readers: dict[str, Read] = {}
        self.stopped: list[str] = []
        self.gone_upstreams: list[tuple[str, str]] = []
        self.router = Router([self.make(BASE), self.make(TAKEN)])

    def make(self, settings: ModelSettings) -> Model:
        draw = random.Random(1).random
        return make_model(
            settings, lambda _: None, PoolSettings(), self, now=lambda: 0.0, draw=draw
        )

    def breaker(self, model: str, upstream: str, state: State) -> None:
        pass

    def upstream_gone(self, model: str, upstream: str) -> None:
        self.gone_upstreams.append((model, upstream))

    async def read(self, model: str) -> list[Replica]:
        assert model == "base"
        reading = await self.readings.get()
        if reading is None:
            raise StoreDown("TimeoutError")
        return reading

    async def sleep(self, seconds: float) -> None:
        assert seconds == PoolSettings().registry_interval_s

    async def follow(self, model: Model, read: Read) -> None:
        self.readers[model.id] = read
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.append(model.id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        adapters = Adapters(
            self.router.find("base"),
            self.read,
            self.router,
            self.make,
            self.follow,
            self.upstream_gone,
            logging.getLogger("test"),
            self.sleep,
        )
        task = asyncio.create_task(adapters.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def reads(self, *replicas: Replica | None) -> list[str]:
        """The models' ids after this reading; None is a store that is away."""
        found = [each for each in replicas if each is not None]
        await self.readings.put(found if len(found) == len(replicas) else None)
        for _ in range(10):
            await asyncio.sleep(0)
        return [model.id for model in self.router.models]


async def test_adapters_come_with_the_replicas_that_have_them_and_go_with_the_last() -> None:
    world = World()
    async with world.running():
        assert await world.reads(replica(1)) == ["base", "taken"]
        assert await world.reads(replica(1, "hex"), replica(2, "hex", "words")) == [
            "base",
            "taken",
            "hex",
            "words",
        ]
        assert [each.name for each in await world.readers["words"]("words")] == ["replica-2"]
        assert len(await world.readers["hex"]("hex")) == 2
        assert await world.reads(replica(1, "hex"), replica(2, "hex")) == ["base", "taken", "hex"]
        assert world.stopped == ["words"]
        assert ("words", "spare") in world.gone_upstreams
        with pytest.raises(ModelNotFound):
            world.router.find("words")


async def test_a_name_that_comes_back_is_the_same_model() -> None:
    world = World()
    async with world.running():
        await world.reads(replica(1, "hex"))
        before = world.router.find("hex")
        await world.reads(replica(1))
        await world.reads(replica(1, "hex"))
        assert world.router.find("hex") is before


async def test_while_no_replica_or_no_store_is_there_the_known_ones_stay() -> None:
    world = World()
    async with world.running():
        await world.reads(replica(1, "hex"))
        assert "hex" in await world.reads()
        assert "hex" in await world.reads(None)
        assert "hex" not in await world.reads(replica(1))


async def test_names_that_are_taken_or_can_be_no_ids_are_left_alone() -> None:
    world = World()
    async with world.running():
        assert await world.reads(replica(1, "taken", "other", "a b", "base")) == ["base", "taken"]
        assert world.router.find("taken").settings == TAKEN
        assert world.router.find("other").id == "base"


def test_an_adapter_is_asked_by_its_own_name_and_has_what_its_base_has() -> None:
    made = described("hex", BASE)
    assert (made.id, made.aliases, made.fallbacks) == ("hex", (), ())
    assert [(each.url, each.model) for each in made.upstreams] == [("http://spare", "hex")]
    assert (made.context_length, made.prices) == (BASE.context_length, BASE.prices)


def test_labels_stay_bounded() -> None:
    many = replica(1, *(f"a{number}" for number in range(500)))
    assert len(present([many], ())) == 128
