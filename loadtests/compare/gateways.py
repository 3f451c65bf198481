"""r1's gateway beside others, in one run on the same upstreams.

Each gateway has core 0 while it is its turn; the upstreams, the client and Redis have core 1.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop

from loadtests.compare.cases import Turn
from loadtests.compare.report import Section
from loadtests.compare.samples import Samples, order
from loadtests.compare.servers import started
from loadtests.gateways import targets
from loadtests.gateways.loads import closed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtests.compare.cases import Case
    from loadtests.compare.servers import Running, Server
    from loadtests.gateways.targets import Target

_IDLE = 0.1
"""Share of a core below which a server counts as done with what came before."""
_SETTLE_S = 20.0


@dataclass(frozen=True)
class Options:
    """How long and how often."""

    venv: Path
    rounds: int = 3
    seconds: float = 2.0


def compare(cases: Sequence[Case], servers: Sequence[Server], options: Options) -> list[Section]:
    """All cases, in their order.

    Raises:
        CannotStart: the upstream or Redis can't be started, or there are not two cores.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise targets.CannotStart("two cores are needed: one for the gateways, one for the load")
    shared = targets.Cores(frozenset(cores[:1]), frozenset(cores[1:2]))
    os.sched_setaffinity(0, shared.load)
    try:
        return uvloop.run(_compare(cases, servers, options, shared))
    finally:
        os.sched_setaffinity(0, cores)


async def _compare(
    cases: Sequence[Case], servers: Sequence[Server], options: Options, cores: targets.Cores
) -> list[Section]:
    sections = {}
    for setup in dict.fromkeys(case.setup for case in cases):
        reasons: dict[str, str] = {}
        with (
            targets.bench(cores) as bench,
            started(servers, setup, bench, options.venv, reasons) as (running, upstreams),
        ):
            for each in running:
                await closed(each.addresses, 8, min(1.0, options.seconds))
            for case in cases:
                if case.setup == setup:
                    print(f"{case.name}: {options.rounds} rounds", file=sys.stderr, flush=True)
                    samples = await _rounds(case, running, upstreams, options)
                    samples.reasons.update(reasons)
                    names = [each.name for each in running]
                    sections[case.name] = Section(
                        case.name, case.title, case.figures, names, samples
                    )
    return [sections[case.name] for case in cases]


async def _rounds(
    case: Case, running: Sequence[Running], upstreams: tuple[int, ...], options: Options
) -> Samples:
    samples, taking_part = Samples(), {each.name: each for each in running}
    for number in range(options.rounds):
        for name in order(list(taking_part), number):
            server = taking_part[name]
            outcome = await case.run(Turn(server, upstreams, options.seconds))
            samples.note(name, outcome.figures)
            if outcome.overran:
                samples.reasons[name] = "it could not keep up: one round"
                del taking_part[name]
            if server.target is not None:
                await _settled(server.target)
    return samples


async def _settled(target: Target) -> None:
    """Until a server has nothing left to do, so that the next one has the core to itself."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _SETTLE_S
    busy = 1.0
    while busy > _IDLE and loop.time() < until:
        before, began = target.cpu_seconds(), loop.time()
        await asyncio.sleep(0.25)
        busy = (target.cpu_seconds() - before) / (loop.time() - began)


def settings(servers: Sequence[Server]) -> str:
    """What was compared and how it was set up, in Markdown."""
    lines = ["| server | version | how it is run |", "|---|---|---|"]
    lines += [f"| {each.name} | {each.version or '–'} | {each.about} |" for each in servers]
    return "\n".join(lines)
