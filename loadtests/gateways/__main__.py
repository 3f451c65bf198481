"""Gateways side by side, in one run on one upstream: `python -m loadtests.gateways`.

r1 with keys, limits and metrics, vLLM's router and LiteLLM's proxy; each on core 0 while it is
its turn, and the upstream, the client and Redis on core 1. The others are installed into a virtual
environment of their own, once; one that can't be installed or started is left out, with a
sentence. Exit status 1 when a bar was missed.
`python -m loadtests.gateways.soak` is the long run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import uvloop

from loadtests.gateways import peers, targets
from loadtests.gateways.client import Address, check_one
from loadtests.gateways.loads import Load, closed, paced, steady
from loadtests.gateways.memory import Memory, live_streams
from loadtests.gateways.report import Figures, bars, table
from loadtests.gateways.targets import Bench, CannotStart, Cores, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKENS = 200
DIRECT = "direct"
# The upstream takes all at once, which r1 has to be told: the others have no window at all.
ROOMY = {"capacity": 2048}


async def compare(
    addresses: Sequence[Address], *, rounds: int, seconds: float, streams: int
) -> dict[str, Figures]:
    """All loads on all servers, in rounds whose order alternates; medians of the rounds."""
    seen: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def note(server: str, **figures: float) -> None:
        for name, value in figures.items():
            seen[server][name].append(value)

    for to in addresses:
        await check_one(to, tokens=20)
        await closed(to, 8, 1.0)
    for number in range(rounds):
        # So a drift of the machine favours nobody.
        for to in addresses if number % 2 == 0 else list(reversed(addresses)):
            one, many = await closed(to, 1, seconds / 2), await closed(to, 32, seconds)
            flow = await closed(to, 16, seconds, tokens=TOKENS, stream=True)
            note(
                to.name,
                one_p50=one.share(0.5, one.times),
                one_p99=one.share(0.99, one.times),
                rps=many.per_second,
                tokens=flow.per_second * TOKENS,
                failed=one.failed + many.failed + flow.failed,
            )
        half = median(seen["r1"]["rps"]) / 2
        for to in addresses:
            if to.name in (DIRECT, "r1"):
                load = await steady(to, half, seconds)
                note(
                    to.name,
                    half_p50=load.share(0.5, load.times),
                    half_p99=load.share(0.99, load.times),
                    failed=load.failed,
                )
            # LiteLLM can't serve a tenth of these.
            if to.name != "litellm":
                note(to.name, **_lateness(await paced(to, streams, 10.0, tokens=TOKENS)))
    return {
        server: Figures({name: median(values) for name, values in figures.items()})
        for server, figures in seen.items()
    }


def _lateness(load: Load) -> dict[str, float]:
    late = [each for answer in load.answers for each in answer.late]
    ttft = [answer.ttft for answer in load.answers if answer.first]
    return {
        "ttft_p50": load.share(0.5, ttft),
        "ttft_p99": load.share(0.99, ttft),
        "late_p50": load.share(0.5, late),
        "late_p99": load.share(0.99, late),
        "failed": load.failed,
    }


def start_all(
    stack: contextlib.ExitStack, bench: Bench, upstream: int, venv: Path
) -> tuple[list[Address], Target]:
    """All servers that can be started, and r1 among them."""
    ours = stack.enter_context(targets.r1(bench, upstream, bench.redis(), batching=ROOMY))
    addresses = [Address(DIRECT, upstream, targets.MODEL), ours.address]
    for start in (peers.vllm_router, peers.litellm):
        try:
            peers.install(venv)
            addresses.append(stack.enter_context(start(bench, [upstream], venv)).address)
        except CannotStart as error:
            print(f"left out: {error}", flush=True)
    return addresses, ours


async def measure(args: argparse.Namespace) -> int:
    """All of it; the exit status."""
    with targets.bench(Cores(frozenset({0}), frozenset({1}))) as bench:
        upstream = bench.mock()
        with contextlib.ExitStack() as stack:
            addresses, ours = start_all(stack, bench, upstream, args.venv)
            idle = Memory.of(ours).worker
            figures = await compare(
                addresses, rounds=args.rounds, seconds=args.seconds, streams=args.streams
            )
        # In a gateway that has done nothing before: what is kept of other work would hide it.
        with targets.r1(bench, upstream, bench.redis(), batching=ROOMY) as fresh:
            grown = await live_streams(fresh, args.streams * 2)
    figures["r1"].values.update(idle=idle, stream_bytes=grown.per_stream)
    print(table(figures))
    print()
    reached = bars(figures)
    for bar in reached:
        print(bar.line())
    print("Two workers beside one were not measured: that needs a core for each, and two more.")
    return 0 if all(bar.reached for bar in reached) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--venv", type=Path, default=Path(".peers"), help="where the others are")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    parser.add_argument("--streams", type=int, default=500, help="paced ones at a time")
    args = parser.parse_args(argv)
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed: one for the gateways, one for the load")
    os.sched_setaffinity(0, {1})
    return uvloop.run(measure(args))


if __name__ == "__main__":
    raise SystemExit(main())
