"""Callers who come when they like: Poisson arrivals, whether or not others were answered."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.gateways.client import Address, Answer, Line, connect, question

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEAN_TOKENS = 40
_LEAST, _MOST = MEAN_TOKENS // 2, MEAN_TOKENS * 3 // 2
_LONGEST_S = 30.0


@dataclass(frozen=True)
class Arrival:
    """One call to come, `due` seconds after the load's beginning."""

    due: float
    caller: str
    tokens: int


@dataclass(frozen=True)
class Asked:
    """A call and its answer; times count from when it was due."""

    arrival: Arrival
    answer: Answer


def arrivals(rates: Mapping[str, float], seconds: float, seed: int) -> list[Arrival]:
    """Those of all callers, each with its own rate (calls a second) and its own chance.

    What one caller does depends on nobody else: a load with one more has the others' calls again.
    """
    made = []
    for caller, rate in rates.items():
        draw = random.Random(f"{seed} {caller}")
        due = draw.expovariate(rate)
        while due < seconds:
            made.append(Arrival(due, caller, draw.randint(_LEAST, _MOST)))
            due += draw.expovariate(rate)
    return sorted(made, key=lambda each: each.due)


async def offer(callers: Mapping[str, Address], load: Sequence[Arrival]) -> list[Asked]:
    """All the calls at their time, streamed; returns when all are answered."""
    free: list[Line] = []
    lines: list[Line] = []
    asked: list[Asked] = []
    began = time.monotonic()

    async def one(number: int, arrival: Arrival) -> None:
        to = callers[arrival.caller]
        if free:
            line = free.pop()
        else:
            lines.append(line := await connect(to))
        request = question(
            to, f"question {number}", tokens=arrival.tokens, stream=True, ignore_eos=True
        )
        answer = await line.ask(request)
        answer.began = began + arrival.due
        asked.append(Asked(arrival, answer))
        if answer.complete:
            free.append(line)

    tasks = []
    for number, arrival in enumerate(load):
        wait = began + arrival.due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(number, arrival)))
    await asyncio.wait_for(asyncio.gather(*tasks), _LONGEST_S)
    for line in lines:
        line.close()
    return asked
