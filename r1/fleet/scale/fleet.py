"""The replicas of a model over zones: how they come, leave, are lost, and are known."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r1.fleet.scale.replica import Replica
from serving.engine.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from r1.fleet.scale.machine import Machine

RENEWED_S, KEPT_S = 2.0, 15.0
"""How often a replica renews its entry in the registry, and how long the last one counts."""
_LEAVE_S = 3.0
"""A replica that is asked to leave takes requests for so long: gateways read the registry once a
second (`serving.engine.scaling.DEREGISTRATION_S`)."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, to the second: things in a fleet take minutes."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(1.0)


@dataclass(eq=False)
class Member:
    """A replica and what the world knows of it. Times in seconds."""

    replica: Replica
    traffic: Traffic
    began: float
    ready: bool = False
    draining: bool = False
    lost_at: float | None = None
    ended: float | None = None

    @property
    def url(self) -> str:
        """Where it is asked."""
        return self.replica.url

    @property
    def answers(self) -> bool:
        """Whether a connection to it is accepted."""
        return self.ready and self.ended is None


class Fleet:
    """Replicas by URL; a new one gets the zone that has fewest."""

    def __init__(self, machine: Machine, zones: int, seed: int) -> None:
        self.machine = machine
        self.members: dict[str, Member] = {}
        self.slow = 1.0
        self.failing = 0.0
        """Part of all attempts that fail once their prompt is computed."""
        self._zones = zones
        self._closed: set[int] = set()
        self._chance = random.Random(f"fleet {seed}")
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._number = 0

    @property
    def there(self) -> list[Member]:
        """Those that answer and stay."""
        return [each for each in self.members.values() if each.answers and not each.draining]

    @property
    def coming(self) -> int:
        """Those that start."""
        return sum(not each.ready and each.ended is None for each in self.members.values())

    @property
    def preemptions(self) -> int:
        """Answers that lost their place in a KV cache."""
        return sum(each.replica.preemptions for each in self.members.values())

    def hours(self, start: float, end: float) -> float:
        """Replica-hours between two times in seconds, starts included."""
        seconds = 0.0
        for each in self.members.values():
            ended = end if each.ended is None else min(end, each.ended)
            seconds += max(0.0, ended - max(start, each.began))
        return seconds / 3600

    def registered(self) -> list[Member]:
        """Those whose entries in the registry count: a lost one is believed in until its ends."""
        now = self._loop.time()
        return [
            each
            for each in self.members.values()
            if each.ready
            and (each.ended is None or (each.lost_at is not None and now < each.lost_at + KEPT_S))
        ]

    def add(self, *, ready: bool = False) -> Member:
        """One more; unless it is `ready`, after its cold start."""
        self._number += 1
        zones = [each for each in range(self._zones) if each not in self._closed]
        living = [each.replica.zone for each in self.members.values() if each.ended is None]
        zone = min(zones, key=living.count)
        url = f"http://10.{zone}.{self._number // 256}.{self._number % 256}:30000"
        replica = Replica(url, zone, self.machine, self._loop)
        replica.slow = self.slow
        member = Member(replica, Traffic(self._loop.time), self._loop.time(), ready)
        self.members[url] = member
        if not ready:
            self._tasks.append(self._loop.create_task(self._start(member)))
        return member

    async def leave(self, member: Member, grace_s: float) -> None:
        """Have one go: nothing new, and `grace_s` for what it has. Returns when it is gone."""
        member.draining = True
        if member.ready:
            await asyncio.sleep(_LEAVE_S)
            over = self._loop.time() + grace_s
            await until(lambda: not member.replica.in_flight or self._loop.time() >= over)
        if member.ended is None:
            member.ended = self._loop.time()
            member.replica.lose()

    def lose(self, member: Member) -> None:
        """It dies: what it answers breaks off, and new connections are refused."""
        member.ended = self._loop.time()
        # Its entry was renewed a moment ago, or nearly as long ago as can be.
        member.lost_at = member.ended - self._chance.uniform(0.0, RENEWED_S)
        member.replica.lose()

    def close(self, zone: int) -> list[Member]:
        """A zone goes with all of its replicas, which are returned; no new one starts there."""
        self._closed.add(zone)
        lost = [
            each
            for each in self.members.values()
            if each.replica.zone == zone and each.ended is None
        ]
        for each in lost:
            self.lose(each)
        return lost

    def slow_down(self, factor: float) -> None:
        """Every step of every engine takes `factor` times as long as planned."""
        self.slow = factor
        for each in self.members.values():
            each.replica.slow = factor

    async def _start(self, member: Member) -> None:
        await asyncio.sleep(self.machine.cold_start_s)
        if member.ended is None and not member.draining:
            member.ready = True

    def close_all(self) -> None:
        """No replica starts any more."""
        for each in self._tasks:
            each.cancel()
