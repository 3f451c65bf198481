"""What is left of the goodput when far too many call: `python -m loadtests.overload`.

A simulated engine of 24 sequences, the gateway with its batch window in front of it, and Poisson
arrivals of streamed calls from eight tenants. Loads below and around the capacity show the peak of
the goodput; then three and ten times that; then one tenant sends twenty times its rate, in rounds
with and without it. Exit status 1 when a bar was missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

import uvloop

from loadtests.gateways import targets
from loadtests.gateways.report import Bar
from loadtests.overload.arrivals import MEAN_TOKENS, arrivals, offer
from loadtests.overload.figures import HEAD, Step, line, quantile, step
from loadtests.overload.rig import (
    LONGEST_WAIT_S,
    SEQUENCE_MS,
    SEQUENCES,
    SLO_S,
    STEP_MS,
    TENANTS,
    Rig,
    rig,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.overload.arrivals import Asked

CAPACITY = SEQUENCES / (MEAN_TOKENS * (STEP_MS + SEQUENCES * SEQUENCE_MS) / 1000)
"""Calls a second that the engine's times allow, prefill left out."""
SWEEP = (0.5, 0.8, 1.0, 1.2)
BUSY = 0.8
ABUSE = 20


async def load(running: Rig, times: float, args: argparse.Namespace) -> Step:
    """One offered load, shared evenly by all tenants."""
    rates = dict.fromkeys(TENANTS, CAPACITY * times / len(TENANTS))
    end_s = args.warm + args.seconds
    calls = await offer(running.callers, arrivals(rates, end_s, round(times * 100)))
    return step(calls, CAPACITY * times, args.warm, end_s, SLO_S)


async def overload(running: Rig, args: argparse.Namespace) -> list[Bar]:
    """The loads one after the other, and their bars."""
    print(HEAD)
    peak = 0.0
    for times in SWEEP:
        seen = await load(running, times, args)
        peak = max(peak, seen.goodput)
        print(line(f"{times:g} ×", seen), flush=True)
    bars = []
    for times, most in ((3, 0.02), (10, LONGEST_WAIT_S)):
        workers, memory, shed = running.workers(), running.memory(), Counter(running.shed())
        seen = await load(running, times, args)
        grown = (running.memory() - memory) / 2**20
        reasons = Counter(running.shed()) - shed
        told = ", ".join(f"{name} {count:.0f}" for name, count in sorted(reasons.items()))
        print(line(f"{times:g} ×", seen), flush=True)
        kept = seen.goodput / peak
        bars += [
            Bar(f"{times} ×: goodput ≥ 90 % of its peak", f"{kept:.1%}", kept >= 0.9),
            Bar(f"{times} ×: shed replies ({told}) within {most * 1000:.0f} ms at p99",
                f"{seen.shed_p99 * 1000:.1f} ms of {seen.shed}", seen.shed_p99 <= most),
            Bar(f"{times} ×: shed replies without retry-after", str(seen.unadvised),
                not seen.unadvised),
            Bar(f"{times} ×: answers that broke", str(seen.broken), not seen.broken),
            Bar(f"{times} ×: the same workers, {grown:+.1f} MiB",
                f"{running.memory() / 2**20:.0f} MiB",
                running.workers() == workers and grown < args.grown),
        ]  # fmt: skip
    return bars


async def abuse(running: Rig, args: argparse.Namespace) -> list[Bar]:
    """One tenant far above its share, in rounds with and without that."""
    calm = dict.fromkeys(TENANTS, CAPACITY * BUSY / len(TENANTS))
    loud = {**calm, TENANTS[0]: calm[TENANTS[0]] * ABUSE}
    seen: dict[str, list[list[float]]] = {"calm": [], "abuse": []}
    end_s = args.warm + args.seconds
    for number in range(args.rounds):
        order = ["calm", "abuse"]
        for name in order if number % 2 == 0 else reversed(order):
            # The others send the same calls at the same times in both.
            rates = calm if name == "calm" else loud
            calls = await offer(running.callers, arrivals(rates, end_s, number))
            seen[name].append(_others(calls, args.warm))
    shares = {
        part: {name: quantile(part, chain(*rounds)) for name, rounds in seen.items()}
        for part in (0.5, 0.99)
    }
    each = sorted(
        quantile(0.99, loud) / quantile(0.99, calm)
        for calm, loud in zip(seen["calm"], seen["abuse"], strict=True)
    )
    middle, late = shares[0.5], shares[0.99]
    ratio = late["abuse"] / late["calm"]
    return [
        Bar(
            f"the others' TTFT p99 beside a tenant of {ABUSE} × its rate ≤ 1.10 × that without",
            f"{ratio:.2f} ({late['abuse'] * 1000:.0f} and {late['calm'] * 1000:.0f} ms; rounds "
            f"{each[0]:.2f} to {each[-1]:.2f}; p50 {middle['abuse'] * 1000:.0f} and "
            f"{middle['calm'] * 1000:.0f} ms)",
            ratio <= 1.10,
        )
    ]


def _others(calls: Sequence[Asked], warm_s: float) -> list[float]:
    """The TTFT of those who do nothing wrong; of one who was sent away, all that could be."""
    return [
        each.answer.ttft if each.answer.first else LONGEST_WAIT_S
        for each in calls
        if each.arrival.caller != TENANTS[0] and each.arrival.due >= warm_s
    ]


async def measure(args: argparse.Namespace) -> int:
    """All of it; the exit status."""
    with (
        targets.bench(targets.Cores(frozenset({0}), frozenset({1}))) as bench,
        rig(bench, args.workers) as running,
    ):
        await load(running, 0.5, args)
        bars = [] if args.only == "abuse" else await overload(running, args)
        bars += [] if args.only == "overload" else await abuse(running, args)
    print()
    for bar in bars:
        print(bar.line())
    return 0 if all(bar.reached for bar in bars) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--warm", type=float, default=3.0, help="seconds before them")
    parser.add_argument("--rounds", type=int, default=4, help="with and without abuse")
    parser.add_argument("--grown", type=float, default=32.0, help="MiB that workers may grow by")
    parser.add_argument("--only", choices=("overload", "abuse"))
    args = parser.parse_args(argv)
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed: one for the gateway, one for the load")
    os.sched_setaffinity(0, {1})
    return uvloop.run(measure(args))


if __name__ == "__main__":
    raise SystemExit(main())
