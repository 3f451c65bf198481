"""What a replica does to have the adapters that it should have."""

import asyncio
from pathlib import Path

import pytest

from serving.engine.adapter_set import RETRY_EVERY, AdapterSet
from serving.engine.adapters import Adapter
from serving.errors import InvalidAdapter
from tests.unit.serving.engine.test_adapters import make


class StoreAwayError(Exception):
    """The store doesn't answer."""


class World:
    """An engine and a store that remember what was asked of them."""

    def __init__(self, declared: dict[str, str] | None = None, most: int = 2) -> None:
        self.said: dict[str, str] | None = {}
        self.asked: list[str] = []
        self.refused: set[str] = set()
        self.adapters = AdapterSet(
            self,
            declared or {},
            most,
            self.read,
            (StoreAwayError,),
            lambda names: self.asked.append(f"tell {' '.join(names)}"),
            grace_s=2.5,
            sleep=self.sleep,
        )

    @property
    def done(self) -> list[str]:
        """What the engine was asked to do."""
        return [each for each in self.asked if "load" in each]

    async def sleep(self, seconds: float) -> None:
        self.asked.append(f"sleep {seconds}")

    async def read(self) -> dict[str, str]:
        if self.said is None:
            raise StoreAwayError
        return self.said

    async def load(self, adapter: Adapter) -> None:
        if adapter.name in self.refused:
            raise InvalidAdapter(f"{adapter.name}: rank 64 is greater than 16")
        self.asked.append(f"load {adapter.name}")

    async def unload(self, name: str) -> None:
        self.asked.append(f"unload {name}")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(make(tmp_path / "a"))


async def test_a_replica_starts_with_what_is_declared_and_what_was_said_since(folder: str) -> None:
    world = World({"a": folder})
    world.said = {"b": folder}
    report = await world.adapters.sync()
    assert report.document() == {"loaded": ["a", "b"], "failed": {}, "most": 2}
    assert world.done == ["load a", "load b"]
    await world.adapters.sync()
    assert len(world.done) == 2, "nothing changed, so nothing is to be done"


async def test_what_is_said_at_run_time_is_loaded_and_unloaded(folder: str) -> None:
    world = World({"a": folder})
    await world.adapters.sync()
    world.said = {"a": "", "b": folder}
    assert (await world.adapters.sync()).loaded == ("b",)
    world.said = {}
    assert (await world.adapters.sync()).loaded == ("a",)
    assert world.done == ["load a", "unload a", "load b", "unload b", "load a"]


async def test_the_gateways_hear_before_the_engine_forgets(folder: str) -> None:
    world = World({"a": folder, "b": folder})
    await world.adapters.sync()
    world.asked.clear()
    world.said = {"b": ""}
    await world.adapters.sync()
    assert world.asked == ["tell a", "sleep 2.5", "unload b", "tell a"]


async def test_one_that_fails_keeps_none_of_the_others_away(folder: str, tmp_path: Path) -> None:
    world = World(most=3)
    world.refused = {"deep"}
    world.said = {"gone": str(tmp_path / "nowhere"), "deep": folder, "good": folder}
    report = await world.adapters.sync()
    assert report.loaded == ("good",)
    assert set(report.failed) == {"gone", "deep"}
    assert "rank 64 is greater than 16" in report.failed["deep"]
    world.refused = set()
    report = await world.adapters.sync(retry=False)
    assert set(report.failed) == {"gone", "deep"}, "not at every look"
    report = await world.adapters.sync()
    assert report.loaded == ("deep", "good"), "what failed is tried again"
    assert set(report.failed) == {"gone"}


async def test_more_than_there_is_room_for_is_refused_by_name(folder: str) -> None:
    world = World(most=1)
    world.said = {"a": folder, "b": folder}
    report = await world.adapters.sync()
    assert report.loaded == ("a",)
    assert "there is room for 1 adapters only" in report.failed["b"]
    world.said = {"a": "", "b": folder}
    assert (await world.adapters.sync()).loaded == ("b",)


async def test_a_name_never_stands_for_other_weights(folder: str, tmp_path: Path) -> None:
    """The engine's prefix cache goes by the name: it would answer from the old weights' blocks."""
    world = World()
    world.said = {"a": folder}
    await world.adapters.sync()
    other = str(make(tmp_path / "b", weights=b"others"))
    world.said = {"a": other}
    report = await world.adapters.sync()
    assert report.loaded == ("a",), "the old ones are still there"
    assert "give the new weights a new one" in report.failed["a"]
    world.said = {"a": ""}
    await world.adapters.sync()
    world.said = {"a": other}
    assert (await world.adapters.sync()).loaded == ()
    world.said = {"a": folder}
    assert (await world.adapters.sync()).loaded == ("a",)
    world.asked.clear()
    world.said = {"a": str(make(tmp_path / "c"))}
    report = await world.adapters.sync()
    assert (report.loaded, report.failed) == (("a",), {}), "the same weights may lie elsewhere"
    assert world.done == ["load a"], "and are read there from now on"


async def test_while_the_store_is_away_what_was_known_stays(folder: str) -> None:
    world = World()
    world.said = {"a": folder}
    await world.adapters.sync()
    world.said = None
    assert (await world.adapters.sync()).loaded == ("a",)
    assert World({"a": folder}).adapters.names == ()


async def test_it_keeps_looking_and_tries_what_failed_now_and_then(folder: str) -> None:
    world = World()
    world.said, world.refused = {"a": folder}, {"a"}
    looks = 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        world.refused.clear()
        if world.adapters.names:
            raise asyncio.CancelledError

    adapters = AdapterSet(world, {}, 1, world.read, sleep=sleep)
    world.adapters = adapters
    await adapters.sync()
    with pytest.raises(asyncio.CancelledError):
        await adapters.keep()
    assert looks == RETRY_EVERY + 1
