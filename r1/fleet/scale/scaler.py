"""Autoscaling of a simulated fleet: r1's policy or Ray Serve's default, at Ray Serve's pace."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING

from serving.engine.autoscale import wanted_replicas
from serving.engine.scaling import REPORT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from r1.fleet.scale.fleet import Fleet, Member
    from serving.engine.scaling import Autoscaling


def by_policy(members: Sequence[Member], in_flight: float, waiting: int, target: float) -> float:
    """Replicas by r1's policy: those at work and in the queue, and those to be expected."""
    return wanted_replicas(
        in_flight=in_flight,
        waiting=waiting,
        arrivals=sum(each.traffic.arrivals for each in members),
        offered=sum(each.traffic.offered for each in members),
        target=target,
    )


def by_load(members: Sequence[Member], in_flight: float, waiting: int, target: float) -> float:
    """Replicas by Ray Serve's default: requests in flight at replicas, beside the target."""
    return in_flight / target


class Scaler:
    """Starts and stops replicas, once more or fewer have been wanted for long enough."""

    def __init__(
        self,
        fleet: Fleet,
        pace: Autoscaling,
        wanted: Callable[[Sequence[Member], float, int, float], float],
        waiting: Callable[[], int],
        grace_s: float,
    ) -> None:
        """Args: `grace_s` has a replica that goes for what it answers."""
        self._fleet = fleet
        self._pace = pace
        self._wanted = wanted
        self._waiting = waiting
        self._grace_s = grace_s
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the load until cancelled."""
        pace, loop = self._pace, asyncio.get_running_loop()
        target = pace.target_ongoing_requests or self._fleet.machine.target
        history: deque[int] = deque(maxlen=round(pace.look_back_s / REPORT_S))
        more_since = fewer_since = loop.time()
        while True:
            await asyncio.sleep(REPORT_S)
            now, there = loop.time(), self._fleet.there
            history.append(sum(each.traffic.in_flight for each in there))
            have = len(there) + self._fleet.coming
            load = sum(history) / len(history)
            wish = math.ceil(self._wanted(there, load, self._waiting(), target) - 1e-9)
            wish = max(pace.min_replicas, min(pace.max_replicas, wish))
            if wish <= have:
                more_since = now
            if wish >= have:
                fewer_since = now
            if wish > have and now - more_since >= pace.upscale_delay_s:
                for _ in range(wish - have):
                    self._fleet.add()
            elif wish < have and now - fewer_since >= pace.downscale_delay_s:
                self._go(have - wish)

    def _go(self, number: int) -> None:
        """Those that start go first, then those with the least to do."""
        staying = [each for each in self._fleet.members.values() if each.ended is None]
        staying = [each for each in staying if not each.draining]
        staying.sort(key=lambda each: (each.ready, each.replica.in_flight))
        for each in staying[:number]:
            task = asyncio.create_task(self._fleet.leave(each, self._grace_s))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
