"""The people of a scenario and their clients, who wait, repeat and leave."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Protocol

from gateway.errors import GatewayError
from r1.fleet.scale.ledger import Seen
from r1.fleet.scale.load import of_crowd, question

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from r1.fleet.scale.ledger import Ending
    from r1.fleet.scale.load import Crowd, People, Question

_LONGEST_PAUSE_S = 60.0
"""A client that is told to wait for longer goes by its own pauses: OpenAI's library does."""


class Reader(Protocol):
    """Hears of an answer's first token."""

    def first(self) -> None:
        """It came."""


class Gateway(Protocol):
    """What people ask."""

    async def answer(self, question: Question, reader: Reader) -> None:
        """Give a whole answer. Raises GatewayError."""

    @property
    def waiting(self) -> int:
        """Requests that no replica has yet."""

    async def close(self) -> None:
        """End what runs behind."""


class _Reader:
    """Notes when the answer began; from then on its person stays."""

    def __init__(self, seen: Seen, patience: asyncio.Timeout) -> None:
        self._seen = seen
        self._patience = patience

    def first(self) -> None:
        if self._seen.first_s is None:
            self._seen.first_s = asyncio.get_running_loop().time()
            self._patience.reschedule(None)


class Crew:
    """All who ask one gateway."""

    def __init__(
        self,
        people: People,
        gateway: Gateway,
        seed: int,
        until_s: float,
        level: Callable[[float], float] = lambda now: 1.0,
    ) -> None:
        """Args: nobody asks after `until_s`; `level` is the part of the usual load at a time,
        at most 1."""
        self.seen: list[Seen] = []
        self._people = people
        self._gateway = gateway
        self._seed = seed
        self._until_s = until_s
        self._level = level
        self._chance = random.Random(f"clients {seed}")
        self._loop = asyncio.get_running_loop()
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self, crowds: Sequence[Crowd] = ()) -> None:
        """All of the load, until the last question has its ending."""
        for user in range(self._people.users):
            # In the long run the pauses of many are exponential, and nobody is in step.
            self._later(user, 0, random.Random(f"{self._seed} first {user}"))
        for crowd in crowds:
            for number in range(crowd.requests):
                at_s = crowd.at_s + crowd.over_s * number / crowd.requests
                asked = of_crowd(crowd, self._seed, number)
                self._loop.call_at(at_s, self._begin, asked, None)
        await asyncio.sleep(self._until_s - self._loop.time())
        while self._asking:
            await asyncio.wait(self._asking)

    def _later(self, user: int, turn: int, chance: random.Random) -> None:
        """Have a user ask after a pause, which follows the load of the hours that it spans."""
        at_s = self._loop.time()
        while True:
            at_s += chance.expovariate(1.0) * self._people.think_s
            if at_s >= self._until_s or chance.random() < self._level(at_s):
                break
        self._loop.call_at(at_s, self._turn, user, turn)

    def _turn(self, user: int, turn: int) -> None:
        self._begin(question(self._people, self._seed, user, turn), (user, turn))

    def _begin(self, asked: Question, whose: tuple[int, int] | None) -> None:
        if self._loop.time() >= self._until_s:
            return
        task = self._loop.create_task(self._ask(asked, whose))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, asked: Question, whose: tuple[int, int] | None) -> None:
        seen = Seen(asked.sort, asked.tenant, self._loop.time(), asked.answer)
        self.seen.append(seen)
        seen.ending = await self._outcome(asked, seen)
        seen.ended_s = self._loop.time()
        if whose is not None:
            user, turn = whose
            self._later(user, turn + 1, random.Random(f"{self._seed} then {user} {turn}"))

    async def _outcome(self, asked: Question, seen: Seen) -> Ending:
        error: GatewayError | None = None
        try:
            async with asyncio.timeout(self._people.patience_s) as patience:
                for repeat in range(self._people.repeats + 1):
                    seen.calls += 1
                    try:
                        await self._gateway.answer(asked, _Reader(seen, patience))
                        return "whole"
                    except GatewayError as raised:
                        error = raised
                    if seen.first_s is not None:
                        return "broken"
                    if not error.retry or repeat == self._people.repeats:
                        break
                    await asyncio.sleep(self._pause_s(error, repeat))
        except TimeoutError:
            if error is None:
                return "left"
        return "refused" if error is not None and error.status in (429, 503) else "failed"

    def _pause_s(self, error: GatewayError, repeat: int) -> float:
        """As OpenAI's library waits: what it is told, else longer each time."""
        if error.status in (429, 503) and error.retry_after_s is not None:
            told_s = max(1, math.ceil(error.retry_after_s))
            if told_s <= _LONGEST_PAUSE_S:
                return told_s
        return min(0.5 * 2.0**repeat, 8.0) * (1.0 - 0.25 * self._chance.random())
