"""The loads: each is bounded, and gives what it measured."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadtests.gateways.client import Address, Answer, Line, connect, question

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Load:
    """What one load gave. Times in seconds."""

    answers: list[Answer]
    seconds: float

    @property
    def failed(self) -> int:
        """Answers that were cut, or that were no answers."""
        return sum(not each.complete or each.status != 200 for each in self.answers)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return (len(self.answers) - self.failed) / self.seconds

    @property
    def times(self) -> list[float]:
        """Of each whole answer."""
        return [each.seconds for each in self.answers if each.complete]

    def share(self, part: float, values: Sequence[float]) -> float:
        """The value below which that part of the values lies; 0 without values."""
        ordered = sorted(values)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def _new_each_time(user: int, asked: int) -> str:
    return f"question {user} {asked}"


async def closed(
    to: Address | Sequence[Address],
    users: int,
    seconds: float,
    *,
    text: Callable[[int, int], str] = _new_each_time,
    **asking: Any,
) -> Load:
    """`users` ask again as soon as they have their answer, each at one of the addresses.

    `text` is a user's question by the user's number and how many came before; `asking` are further
    arguments of `question`. Who has no answer long after the end is cut.
    """
    servers = [to] if isinstance(to, Address) else to
    lines: dict[int, Line] = {}
    answers: list[Answer] = []

    async def user(number: int) -> None:
        server, asked = servers[number % len(servers)], 0
        while time.monotonic() < until:
            if lines[number].lost:
                lines[number] = await connect(server)
            request = question(server, text(number, asked), **asking)
            answers.append(await lines[number].ask(request))
            asked += 1

    def cut() -> None:
        for line in lines.values():
            line.close()

    for number in range(users):
        lines[number] = await connect(servers[number % len(servers)])
    began = time.monotonic()
    until = began + seconds
    patience = asyncio.get_running_loop().call_later(seconds + _PATIENCE_S, cut)
    await asyncio.gather(*map(user, range(users)))
    ended = time.monotonic()
    patience.cancel()
    cut()
    return Load(answers, ended - began)


async def steady(to: Address, rate: float, seconds: float) -> Load:
    """Short calls that arrive at a fixed rate, whether or not others were answered."""
    free: list[Line] = [await connect(to) for _ in range(16)]
    everybody = list(free)
    answers: list[Answer] = []
    began = time.monotonic()

    async def one(number: int, due: float) -> None:
        line = free.pop() if free else await connect(to)
        if line not in everybody:
            everybody.append(line)
        answer = await line.ask(question(to, f"question {number}"))
        # A late start is the server's fault too, or it would choose when it is looked at.
        answer.began = due
        answers.append(answer)
        free.append(line)

    tasks = []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    ended = time.monotonic()
    for line in everybody:
        line.close()
    return Load(answers, ended - began)


async def paced(
    to: Address, streams: int, arriving_s: float, *, rate: int = 20, tokens: int = 200
) -> Load:
    """Streams of `rate` tokens/s, one after the other within `arriving_s`."""
    began = time.monotonic()

    async def one(number: int) -> Answer:
        await asyncio.sleep(number * arriving_s / streams)
        line = await connect(to)
        text = f"pace {rate} of {number}"
        try:
            limit_s = _PATIENCE_S + tokens / rate
            request = question(to, text, tokens=tokens, stream=True)
            return await asyncio.wait_for(line.ask(request), limit_s)
        except TimeoutError:
            return Answer(began)
        finally:
            line.close()

    answers = await asyncio.gather(*(one(number) for number in range(streams)))
    return Load(list(answers), time.monotonic() - began)
