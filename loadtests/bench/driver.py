"""Puts a load on a server: closed (users who wait for their answers) or open (callers who come)."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadtests.bench.ruler import RULERS, words_per_token
from loadtests.client.call import UNFINISHED, Call
from loadtests.client.streams import StreamClient
from loadtests.load.lengths import Lengths
from loadtests.users.draw import Draw
from loadtests.users.kinds import TRACE, Mix
from loadtests.users.replayed import replayed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from loadtests.client.ask import Target
    from loadtests.load.shapes import Shape
    from loadtests.load.trace import Arrival
    from loadtests.users.draw import Talk

_LOOK_S = 0.05
_MOST_OPEN = 20_000
"""Calls at once of an open load, beyond which callers are turned away here."""


class NoServer(Exception):
    """The server gives no whole answer even to a first, small question."""


@dataclass(frozen=True)
class Plan:
    """How a load goes. Times in seconds."""

    mix: Mix = field(default_factory=Mix)
    lengths: Lengths = field(default_factory=Lengths.of)
    seconds: float = 30.0
    drain_s: float = 60.0
    """For the answers that run when the load is over; then they are cut off."""
    timeout_s: float = 600.0
    """For one whole answer."""
    most_calls: int = 100_000
    think_s: float = 0.0
    forced: bool = True
    read: float = 4000.0
    seed: int = 1


class Driver:
    """One load; `calls` are those that are over."""

    def __init__(
        self, target: Target, plan: Plan, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self.calls: list[Call] = []
        self.began = 0.0
        self._plan = plan
        self._now = now
        self._client = StreamClient(target, plan.timeout_s, now)
        self._asked = 0
        self._stopped = False
        self._words = 0.75
        self._running: set[asyncio.Task[None]] = set()
        self._broken: list[BaseException] = []

    @property
    def running(self) -> int:
        """Users of a closed load, or callers of an open one, that are there now."""
        return len(self._running)

    def stop(self) -> None:
        """Let nobody ask any more."""
        self._stopped = True

    async def closed(self, shape: Shape) -> None:
        """Users as the shape has them, each asking again when it has its answer."""
        await self._prepare()
        started = 0
        while self._may_ask() and (share := self._share()) < 1:
            wanted = round(shape.at(share))
            while len(self._running) < wanted:
                self._start(self._user(started, shape))
                started += 1
            await asyncio.sleep(_LOOK_S)
        await self._drain()

    async def open(self, arrivals: Sequence[float]) -> None:
        """Callers at their times, each with a conversation of its own."""
        await self._prepare()
        for number, at in enumerate(arrivals):
            await self._until(at)
            if not self._may_ask():
                break
            draw = self._draw(number)
            kind = self._plan.mix.choose(draw.rng)
            self._arrive(kind.name, kind.talk(draw), at)
        await self._drain()

    async def replay(self, trace: Sequence[Arrival]) -> None:
        """The calls of a trace at their times."""
        await self._prepare()
        for number, each in enumerate(trace):
            await self._until(each.at)
            if not self._may_ask():
                break
            self._arrive(TRACE, replayed(self._draw(number), each), each.at)
        await self._drain()

    async def _prepare(self) -> None:
        """Learn how long words are. Raises NoServer."""
        tokens = []
        for ask in RULERS:
            call = await self._client.ask("ruler", ask)
            if not call.completed:
                raise NoServer(f"{self._client.target.url}: {call.ending}: {call.message}")
            tokens.append(call.said.prompt_tokens)
        self._words = words_per_token(tokens)
        self.began = self._now()

    def _draw(self, number: int) -> Draw:
        plan = self._plan
        return Draw(
            random.Random(f"{plan.seed} {number}"),
            plan.lengths,
            self._words,
            plan.forced,
            plan.think_s,
            plan.read,
        )

    def _may_ask(self) -> bool:
        return not (self._stopped or self._broken) and self._asked < self._plan.most_calls

    def _share(self) -> float:
        """How much of the load's time is over."""
        return (self._now() - self.began) / self._plan.seconds

    async def _until(self, at: float) -> None:
        # Also where it is late: answers are read between two callers.
        await asyncio.sleep(max(0.0, self.began + at - self._now()))

    def _start(self, user: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(user)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken.append(error)

    def _arrive(self, kind: str, talk: Talk, at: float) -> None:
        if len(self._running) < _MOST_OPEN:
            self._start(self._converse(kind, talk, self.began + at))
            return
        now = self._now()
        full = Call(kind, self.began + at, now, now, ending="too many open calls")
        full.message = f"{_MOST_OPEN} calls wait for their answers already"
        self.calls.append(full)

    async def _user(self, number: int, shape: Shape) -> None:
        """Asks until the load is over, or has more users than it should."""
        draw = self._draw(number)
        while self._may_ask() and self._share() < 1:
            if len(self._running) > round(shape.at(self._share())):
                return
            kind = self._plan.mix.choose(draw.rng)
            await self._converse(kind.name, kind.talk(draw))

    async def _converse(self, kind: str, talk: Talk, due: float | None = None) -> None:
        """One conversation; only its first question has a time at which it is due."""
        ask = next(talk, None)
        while ask is not None and self._may_ask():
            if due is None:
                await asyncio.sleep(ask.pause_s)
                if self._share() >= 1:
                    return
            self._asked += 1
            call = await self._client.ask(kind, ask, due)
            self.calls.append(call)
            if call.ending == UNFINISHED:
                return
            if call.failed:
                # Who is refused at once must not ask at once again.
                await asyncio.sleep(_LOOK_S)
            due = None
            try:
                ask = talk.send(call)
            except StopIteration:
                return

    async def _drain(self) -> None:
        running = list(self._running)
        if running:
            _, late = await asyncio.wait(running, timeout=self._plan.drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        self._client.close()
        if self._broken:
            raise self._broken[0]
