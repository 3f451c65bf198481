"""The gateway's own door in front of a simulated engine."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.batching.board import OwnBoard
from gateway.batching.guest import Guest
from gateway.batching.lane import Lane
from gateway.batching_settings import Batching
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.settings import PoolSettings
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files
from gateway.upstream.pool import make_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from r1.fleet.batching import Beat
    from r1.fleet.scenarios import Scenario

_FOR_EVER_S = 10.0**6


class GatewayDoor:
    """A `Door` whose window follows what its users see."""

    def __init__(self, scenario: Scenario, settings: Batching | None = None) -> None:
        """Args: `settings` instead of the defaults with the scenario's targets."""
        loop = asyncio.get_running_loop()
        metrics = Metrics(Meter(Sheet(make_files())))
        upstream = UpstreamSettings(url="http://simulated", model="simulated")
        self._model = make_model(
            ModelSettings(id="simulated", upstreams=(upstream,)),
            lambda upstream: None,
            PoolSettings(),
            metrics,
            now=loop.time,
            draw=random.Random(0).random,
        )
        if settings is None:
            # Nobody is sent away: what is compared are windows.
            settings = Batching(
                itl_s=scenario.itl_s,
                ttft_s=scenario.ttft_s,
                capacity=scenario.capacity,
                queue=10**6,
                longest_wait_s=_FOR_EVER_S,
            )
        self.lane = Lane(
            "simulated",
            self._model.pool,
            settings,
            OwnBoard(1),
            metrics,
            name="simulated",
            workers=1,
        )
        self._running = loop.create_task(self.lane.run())

    @asynccontextmanager
    async def place(self, prompt: int) -> AsyncIterator[Beat]:
        """Wait for a place and keep it."""
        guest = Guest("tenant", "key", "normal", None, lambda: None, _FOR_EVER_S)
        loop = asyncio.get_running_loop()
        visit = await self.lane.enter(guest)
        last: float | None = None

        def beat(tokens: int) -> None:
            nonlocal last
            now = loop.time()
            if visit.witness is not None:
                if last is None:
                    visit.witness.first(now - visit.began, 4 * prompt)
                else:
                    visit.witness.gap(now - last, tokens)
            last = now

        try:
            yield beat
        finally:
            visit.end(worked=True)

    def window(self) -> float:
        """How many may be inside now."""
        return self.lane.ground.window
