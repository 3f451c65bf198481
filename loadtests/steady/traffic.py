"""Callers who go on asking the same questions, and hold each answer against the undisturbed one."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from loadtests.steady.answers import Answer, count_faults, faults
from loadtests.steady.calls import DONE, Call, Question, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadtests.streams import Target

_CONNECT_S = 10.0


class UnsteadyError(Exception):
    """The server doesn't answer well while nobody disturbs it, so nothing could be learned."""


@dataclass(frozen=True)
class Load:
    """How much is asked. Times in seconds."""

    long_callers: int = 3
    short_callers: int = 2
    long_tokens: int = 600
    pause_s: float = 0.25
    """Between two short calls of one caller."""
    most_calls: int = 20_000
    """Of all together; after them nobody asks any more."""
    timeout_s: float = 600.0
    """For one whole answer."""
    exact: bool = True
    """Whether greedy text must be the same every time; else only its length must."""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.long_callers + self.short_callers < 1:
            raise ValueError("long_callers and short_callers are 0: nobody would ask")
        if self.long_tokens < 1 or self.most_calls < 1:
            raise ValueError("long_tokens and most_calls must be 1 or more")

    def questions(self) -> tuple[list[Question], list[Question]]:
        """Long and short ones; the same for the same seed."""
        rng = random.Random(self.seed)

        def text() -> str:
            return f"What is {rng.randint(100, 9999)} + {rng.randint(100, 9999)}?"

        long = [Question(text(), stream=True, tokens=self.long_tokens) for _ in range(3)]
        short = [Question(text(), stream=number % 2 == 0) for number in range(6)]
        return long[: 3 * self.long_callers], short[: 6 * self.short_callers]


@dataclass
class Traffic:
    """Knows the undisturbed answers, and makes traffic of their questions."""

    target: Target
    load: Load
    expected: dict[Question, Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    """Those that are over, by their end."""
    running: set[Call] = field(default_factory=set)
    """Those under way."""

    async def learn(self) -> None:
        """Ask every question alone and then all at once; both answers must be the same.

        Raises:
            UnsteadyError: a call failed, or the answers differ (a GPU's kernels may depend on the
                batch: then compare lengths only).
        """
        long, short = self.load.questions()
        questions = long + short
        async with self._session(keep=True) as session:
            alone = [await ask(session, self.target, Call(each, 0)) for each in questions]
            self.expected = _learned(alone)
            together = await asyncio.gather(
                *(ask(session, self.target, Call(each, 0)) for each in questions)
            )
        _learned(together)
        for call in together:
            found = self.faults(call)
            if found:
                raise UnsteadyError(
                    f"two undisturbed answers to {call.question.text!r} differ: {found[0]}; if "
                    "this model's text may change with its batch, compare lengths only"
                )

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until told to stop, then let every answer come to its end."""
        long, short = self.load.questions()
        numbers = iter(range(self.load.most_calls))
        began = time.perf_counter()
        async with self._session(keep=True) as kept, self._session(keep=False) as fresh:

            async def caller(number: int, questions: Sequence[Question], pause_s: float) -> None:
                # Some keep their connections, as an SDK does, others open one for each call.
                session = fresh if number % 2 else kept
                for question in _from(questions, number):
                    if stop.is_set() or next(numbers, None) is None:
                        return
                    call = Call(question, time.perf_counter() - began)
                    self.running.add(call)
                    await ask(session, self.target, call)
                    self.running.discard(call)
                    self.calls.append(call)
                    # Who is refused at once does not ask at once again.
                    await asyncio.sleep(pause_s if call.ending == DONE else max(pause_s, 0.1))

            async with asyncio.TaskGroup() as group:
                for number in range(self.load.long_callers):
                    group.create_task(caller(number, long, 0.0))
                for number in range(self.load.short_callers):
                    group.create_task(caller(number, short, self.load.pause_s))

    def share(self, call: Call) -> float:
        """How much of the expected text a call has so far: 0 to 1 while all is well."""
        expected = self.expected[call.question]
        got, whole = (len(each.reasoning) + len(each.content) for each in (call.answer, expected))
        return got / max(whole, 1)

    def faults(self, call: Call) -> list[str]:
        """What is wrong with a call; empty if nothing is."""
        if call.ending != DONE:
            return [f"{call.ending}: {call.message}" if call.message else call.ending]
        expected = self.expected[call.question]
        if self.load.exact:
            return faults(call.answer, expected)
        return count_faults(call.answer, expected) if call.question.tokens else []

    def _session(self, *, keep: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, force_close=not keep)
        timeout = aiohttp.ClientTimeout(total=self.load.timeout_s, connect=_CONNECT_S)
        return aiohttp.ClientSession(connector=connector, timeout=timeout)


def _learned(calls: Sequence[Call]) -> dict[Question, Answer]:
    for call in calls:
        if call.ending != DONE:
            raise UnsteadyError(
                f"{call.question.text!r} was not answered before the traffic began: "
                f"{call.ending}: {call.message}"
            )
    return {call.question: call.answer for call in calls}


def _from(questions: Sequence[Question], number: int) -> Iterator[Question]:
    """The questions round and round, each caller beginning with another one."""
    start = number % len(questions)
    return itertools.islice(itertools.cycle(questions), start, None)
