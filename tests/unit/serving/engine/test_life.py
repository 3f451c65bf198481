"""A replica's life after its warm-up."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from serving.engine import life, vitals
from serving.engine.life import EngineStalled, Life
from serving.engine.ray_replica import Standing
from serving.registry import URL_VARIABLE, WrongStoreUrl


class World:
    """An engine that steps when it is told to, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.unfinished = 0
        self.asked = 0
        self.at: Standing | None = Standing("http://10.0.0.1:30000/m", leaving=False)
        monkeypatch.setattr(life, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(life, "standing", lambda: self.at)
        monkeypatch.setattr(vitals, "ask_for_a_token", self.ask)
        client: Any = SimpleNamespace(
            logger_manager=SimpleNamespace(stat_loggers=[]),
            output_processor=SimpleNamespace(get_num_unfinished_requests=lambda: self.unfinished),
        )
        config: Any = SimpleNamespace(
            model_id="m",
            deployment_config={},
            engine_kwargs={"max_num_seqs": 8},
            experimental_configs={"stall_s": 60.0},
        )
        self.life = Life(config, client)
        self.life.begin()
        (self.vitals,) = client.logger_manager.stat_loggers

    async def ask(self, client: Any) -> None:
        self.asked += 1
        self.unfinished += 1
        await asyncio.Event().wait()

    def state(self) -> str:
        entry = self.life.entry()
        assert entry is not None
        return entry.state

    async def look(self, now: float) -> None:
        self.now = now
        await self.life.check()
        await asyncio.sleep(0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    return World(monkeypatch)


async def test_an_engine_that_hangs_fails_the_check_and_takes_nothing_new(world: World) -> None:
    world.vitals.record(None, None)
    await world.look(1)
    world.unfinished = 3
    await world.look(2)
    assert world.state() == "ready"
    with pytest.raises(EngineStalled, match=r"no step for 60 s although 3 request\(s\) wait"):
        await world.look(63)
    assert world.state() == "draining"


async def test_a_quiet_engine_is_asked_once(world: World) -> None:
    for second in range(10, 60, 2):
        await world.look(second)
    assert world.asked == 1
    with pytest.raises(EngineStalled):
        await world.look(120)
    await world.life.end()


async def test_the_entry_follows_the_replica(world: World) -> None:
    world.life.adapters = ("sql",)
    came = world.life.traffic.came()
    entry = world.life.entry()
    assert entry is not None
    assert (entry.url, entry.model, entry.capacity) == ("http://10.0.0.1:30000/m", "m", 8)
    assert (entry.load, entry.adapters) == (1, ("sql",))
    demand = {"in_flight": 1.0, "arrivals": 1.0, "offered": 0.0, "waiting": 0.0}
    assert world.life.demand() == demand
    world.life.traffic.left(came)
    world.at = Standing("http://10.0.0.1:30000/m", leaving=True)
    assert world.state() == "draining"
    world.at = None
    assert world.life.entry() is None


async def test_a_wrong_registry_ends_the_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, "http://nowhere")
    with pytest.raises(WrongStoreUrl):
        world.life.begin()
