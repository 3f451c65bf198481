"""One request at one replica: what HTTP is in life."""

from __future__ import annotations

import asyncio
import random
from array import array
from typing import TYPE_CHECKING

from gateway.errors import UpstreamFailed, UpstreamLost, UpstreamUnavailable
from r1.fleet.scale.replica import Job

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from r1.fleet.scale.fleet import Fleet, Member


class Cut(UpstreamLost):
    """The engine was lost after `tokens` more of an answer."""

    def __init__(self, tokens: int) -> None:
        super().__init__("The model server was lost in the middle of the answer.")
        self.tokens = tokens


class _Answer:
    """Wakes whoever waits for an answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.began: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[int] = loop.create_future()

    def first(self) -> None:
        self._settle()

    def ended(self, tokens: int, *, lost: bool) -> None:
        if self.over.done():
            return
        if lost:
            self.over.set_exception(Cut(tokens))
            # Who waits for the first token hears of it there, and nobody here.
            self.over.exception()
        else:
            self.over.set_result(tokens)
        self._settle()

    def _settle(self) -> None:
        if not self.began.done():
            self.began.set_result(None)


class Engines:
    """The way to the replicas of a fleet, with the faults that a scenario puts there."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.fleet = fleet
        self.asked: array[float] = array("d")
        """When each attempt was made."""
        self._chance = random.Random(f"engines {seed}")
        self._loop = asyncio.get_running_loop()

    async def ask(
        self,
        member: Member,
        prompt: int,
        answer: int,
        conversation: int,
        first: Callable[[], Awaitable[None]],
    ) -> None:
        """Have `answer` tokens to a prompt of `prompt`; `first` is called at the first of them.

        Raises UpstreamUnavailable, UpstreamFailed, or Cut: with the tokens that came.
        """
        self.asked.append(self._loop.time())
        if not member.answers:
            raise UpstreamUnavailable("No connection to the model server.")
        heard = _Answer(self._loop)
        job = Job(prompt, max(1, answer), conversation, heard)
        came = member.traffic.came()
        member.replica.start(job)
        try:
            await heard.began
            if not heard.over.done() and self._chance.random() < self.fleet.failing:
                raise UpstreamFailed("The model server failed.")
            if not heard.over.done() or heard.over.exception() is None:
                await first()
            await heard.over
        finally:
            member.replica.stop(job)
            member.traffic.left(came)
