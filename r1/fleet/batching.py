"""Batch windows compared on one simulated engine: `python -m r1.fleet`.

The engine's scheduler, the queue and the policy are those that serve; only HTTP is left out, and
time is virtual. A window's throughput counts if the ITL's 99th percentile keeps its target.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from r1.fleet.clock import run
from serving.simulator.blocks import Blocks
from serving.simulator.engine import Engine, Piece
from serving.simulator.metrics import Metrics
from serving.simulator.ranks import Ranks
from serving.simulator.scheduler import Limits, Sequence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from r1.fleet.scenarios import Scenario

_BLOCK = 16


class Beat(Protocol):
    """Hears of an answer's tokens."""

    def __call__(self, tokens: int) -> None:
        """`tokens` more came."""


class Door(Protocol):
    """Lets requests in, as many at once as its window allows."""

    def place(self, prompt: int) -> AbstractAsyncContextManager[Beat]:
        """Wait for a place and keep it; `prompt` in tokens."""

    def window(self) -> float:
        """How many may be inside now."""


class FixedWindow:
    """A window that never changes; who waits goes in by order of arrival."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self, prompt: int) -> AsyncIterator[Beat]:
        """Wait for a place and keep it."""
        if self._inside < self._size:
            self._inside += 1
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        try:
            yield _ignore
        finally:
            if self._waiting:
                self._waiting.popleft().set_result(None)
            else:
                self._inside -= 1

    def window(self) -> float:
        """The size."""
        return float(self._size)


def _ignore(tokens: int) -> None:
    """A fixed window learns nothing."""


@dataclass
class Result:
    """What a window made of a scenario. Times in seconds, quantiles over the measured part."""

    scenario: Scenario
    tokens: int = 0
    gaps: array[float] = field(default_factory=lambda: array("f"))
    waits: array[float] = field(default_factory=lambda: array("f"))
    course: list[tuple[float, float]] = field(default_factory=list)
    preemptions: int = 0

    @property
    def throughput(self) -> float:
        """Tokens a second."""
        return self.tokens / self.scenario.measured_s

    def itl(self, share: float = 0.99) -> float:
        """This quantile of the time between two tokens."""
        return quantile(self.gaps, share)

    def ttft(self, share: float = 0.99) -> float:
        """This quantile of the time from a request's arrival to its first token."""
        return quantile(self.waits, share)

    @property
    def kept(self) -> bool:
        """Whether the ITL's target was met."""
        return self.itl() <= self.scenario.itl_s


def quantile(values: array[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; 0 where there is none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Sink(deque[Piece]):
    """Takes an answer's tokens where they fall: a task woken for each would take most of the
    time."""

    def __init__(self, told: Callable[[Piece], None]) -> None:
        super().__init__()
        self._told = told

    def append(self, piece: Piece) -> None:
        self._told(piece)


class Users:
    """Those who ask, and what they see."""

    def __init__(self, scenario: Scenario, door: Door, engine: Engine, seed: int) -> None:
        self.result = Result(scenario)
        self._scenario = scenario
        self._door = door
        self._engine = engine
        # Prompts and answers don't depend on when they are asked for: all windows see the same.
        self._lengths = random.Random(seed)
        self._arrivals = random.Random(seed + 1)
        self._loop = asyncio.get_running_loop()
        self._number = 0

    async def ask(self) -> None:
        """One request from its arrival to its last token."""
        scenario, loop, result = self._scenario, self._loop, self.result
        kinds = scenario.kinds
        kind = self._lengths.choices(kinds, [each.share for each in kinds])[0]
        prompt, answer = kind.prompt.draw(self._lengths), kind.answer.draw(self._lengths)
        arrived = loop.time()
        ended = asyncio.Event()
        last = 0.0
        opens, closes = scenario.warm_up_s, scenario.warm_up_s + scenario.measured_s
        async with self._door.place(prompt) as beat:

            def told(piece: Piece) -> None:
                nonlocal last
                now, count = loop.time(), len(piece.ids)
                beat(count)
                if opens <= now < closes:
                    result.tokens += count
                    if last:
                        result.gaps.append(now - last)
                    else:
                        result.waits.append(now - arrived)
                last = now
                if piece.last:
                    ended.set()

            self._number += 1
            tokens = [self._number] * (prompt + answer)
            generation = self._engine.start([Sequence(tokens, prompt)], "length")
            generation.pieces = _Sink(told)
            await ended.wait()

    async def come(self) -> None:
        """All of the load."""
        scenario = self._scenario
        until = scenario.warm_up_s + scenario.measured_s
        async with asyncio.TaskGroup() as group:

            async def user() -> None:
                while self._loop.time() < until:
                    await self.ask()

            for _ in range(scenario.users):
                group.create_task(user())
            for phase in scenario.phases:
                over = self._loop.time() + phase.seconds
                while True:
                    await asyncio.sleep(self._arrivals.expovariate(phase.rate))
                    if self._loop.time() >= over:
                        break
                    group.create_task(self.ask())

    async def watch(self) -> None:
        """Note the window's course."""
        while True:
            self.result.course.append((self._loop.time(), self._door.window()))
            await asyncio.sleep(1.0)


def play(scenario: Scenario, make: Callable[[Scenario], Door], seed: int = 1) -> Result:
    """The scenario with the door that `make` gives, called inside the loop."""

    async def main() -> Result:
        blocks = Blocks(scenario.kv_tokens // _BLOCK, _BLOCK)
        ranks = Ranks([blocks], Limits(scenario.capacity))
        engine = Engine(ranks, lambda: scenario.timing, Metrics("simulated"))
        users = Users(scenario, make(scenario), engine, seed)
        beside = [asyncio.create_task(engine.run()), asyncio.create_task(users.watch())]
        loads = asyncio.create_task(users.come())
        until = scenario.warm_up_s + scenario.measured_s
        # What is still running at the end is of no interest.
        await asyncio.wait([loads], timeout=until)
        for task in (loads, *beside):
            task.cancel()
        await asyncio.gather(loads, *beside, return_exceptions=True)
        users.result.preemptions = engine.ranks.preemptions
        return users.result

    return run(main())
