"""Gateways to compare with: a simple choice, a fixed window or none, and retries without a budget.

They hear of replicas as r1's gateway does, from the registry, and of a lost one by its refusals.
A request that failed before its first token is repeated at the next replica. There is no fair
queue, no breaker, no cache, and a stream that breaks stays broken.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal

from gateway.errors import UpstreamError, UpstreamUnavailable

if TYPE_CHECKING:
    from r1.fleet.scale.asking import Engines
    from r1.fleet.scale.fleet import Member
    from r1.fleet.scale.load import Question
    from r1.fleet.scale.people import Reader

ATTEMPTS = 3
_PAUSE_S = 0.1
_LOOK_S = 1.0

Choice = Literal["round robin", "least loaded"]


class Plain:
    """Chooses by turns or by load; who finds no place in a window waits in order of arrival."""

    def __init__(self, engines: Engines, choice: Choice, window: int | None) -> None:
        self._engines = engines
        self._choice = choice
        self._window = window
        self._turn = 0
        self._inside: Counter[str] = Counter()
        self._known: list[Member] = []
        self._waiting: deque[asyncio.Future[Member]] = deque()
        self._looking = asyncio.get_running_loop().create_task(self._look())

    @property
    def waiting(self) -> int:
        """Requests that no replica has yet."""
        return len(self._waiting)

    async def answer(self, question: Question, reader: Reader) -> None:
        """Give a whole answer. Raises UpstreamError."""
        began = False

        async def first() -> None:
            nonlocal began
            began = True
            reader.first()

        for attempt in range(1, ATTEMPTS + 1):
            member = await self._place()
            try:
                await self._engines.ask(
                    member, question.prompt, question.answer, question.conversation, first
                )
                return
            except UpstreamError:
                if began or attempt == ATTEMPTS:
                    raise
            finally:
                self._inside[member.url] -= 1
                self._fill()
            await asyncio.sleep(_PAUSE_S)

    async def close(self) -> None:
        """Look for replicas no more."""
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            self._known = [each for each in self._engines.fleet.registered() if not each.draining]
            self._fill()
            await asyncio.sleep(_LOOK_S)

    async def _place(self) -> Member:
        member = None if self._waiting else self._choose()
        if member is not None:
            self._inside[member.url] += 1
            return member
        if self._window is None:
            raise UpstreamUnavailable("No model server is there.")
        turn: asyncio.Future[Member] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._inside[turn.result().url] -= 1
                self._fill()
            raise

    def _fill(self) -> None:
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            member = self._choose()
            if member is None:
                return
            self._inside[member.url] += 1
            self._waiting.popleft().set_result(member)

    def _choose(self) -> Member | None:
        inside, window = self._inside, self._window
        if self._choice == "least loaded":
            among = [each for each in self._known if window is None or inside[each.url] < window]
            return min(among, key=lambda each: inside[each.url], default=None)
        for _ in self._known:
            self._turn += 1
            member = self._known[self._turn % len(self._known)]
            if window is None or inside[member.url] < window:
                return member
        return None
