"""Runs the scheduler in real time and hands out tokens as they fall due."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.simulator.metrics import Metrics
    from serving.simulator.ranks import Ranks
    from serving.simulator.scheduler import Sequence
    from serving.simulator.timing import Pace

_BURST = 64  # tokens a step yields while timing is off: then only throughput counts


class Piece(NamedTuple):
    """Some tokens of one choice, `last` if they end it."""

    choice: int
    ids: list[int]
    last: bool


@dataclass(eq=False)
class Generation:
    """The sequences of one request, and what came out of them and was not fetched yet."""

    sequences: list[Sequence]
    started: float
    finish: str
    pieces: deque[Piece] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    left: int = 0
    last_token: float = 0.0

    @property
    def cached(self) -> int:
        """Prompt tokens that the prefix cache had."""
        return self.sequences[0].cached

    async def fetch(self) -> list[Piece]:
        """What has come since the last call; waits if that is nothing."""
        while not self.pieces:
            self.arrived.clear()
            await self.arrived.wait()
        fetched = list(self.pieces)
        self.pieces.clear()
        return fetched


class Engine:
    """One engine: the ranks' batches, which every request's sequences share."""

    def __init__(self, ranks: Ranks, timing: Callable[[], Pace], metrics: Metrics) -> None:
        self.ranks = ranks
        self._timing = timing
        self._metrics = metrics
        self._owner: dict[Sequence, tuple[Generation, int]] = {}
        self._work = asyncio.Event()
        metrics.watch(ranks)

    def start(self, sequences: list[Sequence], finish: str) -> Generation:
        """Queue the sequences of a request, which is going to end with `finish`.

        Raises:
            ValueError: one never fits into the cache.
        """
        now = asyncio.get_running_loop().time()
        generation = Generation(sequences, now, finish, left=len(sequences))
        for choice, sequence in enumerate(sequences):
            self.ranks.add(sequence)
            self._owner[sequence] = (generation, choice)
        self._metrics.prompt(sequences[0].prompt)
        self._work.set()
        return generation

    def abort(self, generation: Generation) -> None:
        """Stop a generation; one that has ended is no fault."""
        left = [each for each in generation.sequences if self._owner.pop(each, None)]
        for sequence in left:
            self.ranks.abort(sequence)
        if left:
            self._metrics.finished("abort")

    async def run(self) -> None:
        """Step for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if not self.ranks.busy:
                self._work.clear()
                await self._work.wait()
            timing = self._timing()
            steps = self.ranks.plan(_BURST if timing.off else None)
            now = loop.time()
            # A late step does not delay those after it, but time that is lost is not made up for.
            due = max(due, now) + timing.seconds(steps)
            await asyncio.sleep(due - now)
            self._hand_out(loop.time())

    def _hand_out(self, now: float) -> None:
        for sequence, first, last, finished in self.ranks.complete():
            generation, choice = self._owner[sequence]
            generation.pieces.append(Piece(choice, sequence.tokens[first:last], finished))
            generation.arrived.set()
            count = last - first
            if first == sequence.prompt:
                self._metrics.first_token(now - generation.started, sequence.cached)
                self._metrics.tokens(count, 0.0, count - 1)
            else:
                gap = (now - generation.last_token) / count
                self._metrics.tokens(count, gap, count)
            generation.last_token = now
            if finished:
                del self._owner[sequence]
                generation.left -= 1
                if not generation.left:
                    self._metrics.finished(generation.finish, now - generation.started)
