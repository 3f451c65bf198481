"""A gateway's memory over time: `python -m loadtests.gateways.soak --minutes 20`.

A moderate load of all kinds runs throughout: short calls, streams, callers who leave in the middle,
answers that fail, calls without a key. From minute 5 on the worker may not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import uvloop

from loadtests.gateways import targets
from loadtests.gateways.client import Address, connect, question
from loadtests.gateways.memory import Memory
from loadtests.gateways.targets import Cores

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_SETTLED_S = 300.0
"""Memory counts from here on: before, caches fill."""
_MOST_GROWTH = 0.02
"""Of the worker's memory in the rest of the run."""


async def short(to: Address) -> None:
    """A short call."""
    line = await connect(to)
    await line.ask(question(to, f"question {random.random()}"))
    line.close()


async def streamed(to: Address) -> None:
    """A stream of 10 s."""
    line = await connect(to)
    await line.ask(question(to, "pace 20", tokens=200, stream=True))
    line.close()


async def left(to: Address) -> None:
    """A stream whose caller leaves."""
    line = await connect(to)
    asked = asyncio.ensure_future(line.ask(question(to, "pace 20", tokens=200, stream=True)))
    await asyncio.sleep(random.uniform(0.0, 2.0))
    line.close()
    await asyncio.wait({asked})


async def failing(to: Address) -> None:
    """An answer that fails at the model server."""
    line = await connect(to)
    await line.ask(question(to, "fail"))
    line.close()


async def stranger(to: Address) -> None:
    """A call with an unknown key."""
    await short(replace(to, key="r1-unknown"))


KINDS: tuple[tuple[Callable[[Address], Awaitable[None]], float], ...] = (
    (short, 40.0),
    (streamed, 5.0),
    (left, 3.0),
    (failing, 1.0),
    (stranger, 1.0),
)
"""Each with how many begin in a second: about 50 streams are live at a time."""


async def keep_up(to: Address, kind: Callable[[Address], Awaitable[None]], rate: float) -> None:
    """Begin so many a second, for ever."""
    running: set[asyncio.Task[None]] = set()

    async def one() -> None:
        with contextlib.suppress(OSError):
            await kind(to)

    while True:
        await asyncio.sleep(random.expovariate(rate))
        if len(running) < 500:
            task = asyncio.create_task(one())
            running.add(task)
            task.add_done_callback(running.discard)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line through the points, by least squares."""
    count = len(points)
    x = sum(each for each, _ in points) / count
    y = sum(each for _, each in points) / count
    above = sum((a - x) * (b - y) for a, b in points)
    return above / sum((a - x) ** 2 for a, _ in points)


async def soak(minutes: float) -> int:
    """Run it; the exit status."""
    cores = Cores(frozenset({0}), frozenset({1}))
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(targets.bench(cores))
        target = stack.enter_context(targets.r1(bench, bench.mock(), bench.redis()))
        loads = [asyncio.create_task(keep_up(target.address, *kind)) for kind in KINDS]
        began = time.monotonic()
        points = []
        while (seconds := time.monotonic() - began) < minutes * 60:
            await asyncio.sleep(10)
            size = Memory.of(target).worker
            points.append((seconds, size))
            if len(points) % 12 == 0:
                print(f"minute {seconds / 60:.0f}: {size / 1e6:.1f} MB", flush=True)
        for load in loads:
            load.cancel()
        await asyncio.wait(loads)
    counted = [point for point in points if point[0] >= min(_SETTLED_S, minutes * 15)]
    grown = slope(counted) * (counted[-1][0] - counted[0][0])
    share = grown / counted[0][1]
    print(f"from {counted[0][0] / 60:.0f} to {counted[-1][0] / 60:.0f} min: {grown / 1e6:+.2f} MB")
    print(f"{share:+.2%} of the worker; the bar is {_MOST_GROWTH:+.0%}")
    return 0 if share <= _MOST_GROWTH else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--nice", type=int, default=0, help="of all processes, for a busy machine")
    args = parser.parse_args(argv)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.nice(args.nice)
    return uvloop.run(soak(args.minutes))


if __name__ == "__main__":
    raise SystemExit(main())
