"""Batch windows compared on the real engine: `python -m loadtests.windows`.

One vLLM server of a nano model, and in front of it four gateways that differ in their window alone:
4 places, 32 places, none, and the one that follows the load. They take turns under the same load,
in rounds whose order alternates; medians of the rounds. Exit status 1 when a bar was missed.
Needs a machine that does nothing else.

The loads and targets were chosen before the first run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import aiohttp

from loadtests.gateways import targets
from loadtests.gateways.report import Bar
from loadtests.gateways.targets import Cores, free_port
from loadtests.side_by_side import requests
from loadtests.stack import bare_engine
from loadtests.streams import Round, Target, measure, run_round

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ITL_S = 0.1
"""Target of the ITL's 99th percentile."""
TOKENS = 128
SEQUENCES = 64
"""What the engine runs at once: more than there are users."""
LOW_REQUESTS = 40
AUTO = "follows the load"
NONE = "none"


def _fixed(places: int) -> dict[str, Any]:
    return {"mode": "strict", "low_window": places, "high_window": places}


WINDOWS: Mapping[str, Mapping[str, Any]] = {
    "fixed 4": _fixed(4),
    "fixed 32": _fixed(32),
    NONE: {"mode": "off"},
    AUTO: {"capacity": SEQUENCES},
}


@dataclass(frozen=True)
class Figures:
    """What a window made of a load: medians of the rounds; times in seconds."""

    tokens_per_second: float
    ttft_p50: float
    ttft_p99: float
    itl_p99: float

    @classmethod
    def of(cls, rounds: Sequence[Round]) -> Figures:
        """Of all rounds of one window under one load."""
        return cls(
            median(each.tokens_per_second for each in rounds),
            median(_share(0.5, [s.ttft for s in each.streams]) for each in rounds),
            median(_share(0.99, [s.ttft for s in each.streams]) for each in rounds),
            median(_share(0.99, [gap for s in each.streams for gap in s.gaps]) for each in rounds),
        )


def _share(part: float, values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


async def compare(
    addresses: Sequence[Target], users: Sequence[int], rounds: int, requests_a_user: int
) -> dict[int, dict[str, Figures]]:
    """The figures by number of users and window; the load of one user has short answers."""
    seen: dict[int, dict[str, list[Round]]] = defaultdict(lambda: defaultdict(list))
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        for number in range(rounds):
            for to in addresses if number % 2 == 0 else list(reversed(addresses)):
                for many in users:
                    # What it takes to find the window is not measured, for any of them.
                    await run_round(session, to, requests(2 * many, TOKENS, number), many)
                    bodies = requests(requests_a_user * many, TOKENS, 1000 + number)
                    seen[many][to.name].append(await run_round(session, to, bodies, many))
            # Turn about, request by request: what is looked for is a part of a millisecond.
            alone: dict[str, list[Any]] = {to.name: [] for to in addresses}
            for body in requests(LOW_REQUESTS, 16, 2000 + number):
                for to in addresses:
                    alone[to.name].append(await measure(session, to, body))
            for name, streams in alone.items():
                spent = sum(each.duration for each in streams)
                seen[1][name].append(Round(name, 1, spent, tuple(streams)))
    return {
        many: {name: Figures.of(each) for name, each in by_name.items()}
        for many, by_name in sorted(seen.items())
    }


def table(figures: Mapping[int, Mapping[str, Figures]]) -> str:
    """All of it in Markdown."""
    lines = [
        "| users | window | output tok/s | TTFT p50 ms | TTFT p99 ms | ITL p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {users} | {name} | {each.tokens_per_second:.0f} | {each.ttft_p50 * 1000:.1f} "
        f"| {each.ttft_p99 * 1000:.0f} | {each.itl_p99 * 1000:.1f} |"
        for users, by_name in figures.items()
        for name, each in by_name.items()
    ]
    return "\n".join(lines)


def bars(figures: Mapping[int, Mapping[str, Figures]]) -> Iterator[Bar]:
    """What the window that follows the load is held to."""
    for users, by_name in figures.items():
        own = by_name[AUTO]
        if users == 1:
            ratio = own.ttft_p50 / by_name[NONE].ttft_p50
            yield Bar("1 user: TTFT p50 ≤ 1.05 of no window's", f"{ratio:.3f}", ratio <= 1.05)
            continue
        fixed = [each for name, each in by_name.items() if name != AUTO and each.itl_p99 <= ITL_S]
        best = max(fixed or list(by_name.values()), key=lambda each: each.tokens_per_second)
        ratio = own.tokens_per_second / best.tokens_per_second
        yield Bar(f"{users} users: ≥ 0.95 of the best tokens/s", f"{ratio:.3f}", ratio >= 0.95)
        claim = f"{users} users: ITL p99 ≤ {ITL_S * 1000:.0f} ms"
        yield Bar(claim, f"{own.itl_p99 * 1000:.1f} ms", own.itl_p99 <= ITL_S)
        ratio = own.ttft_p99 / best.ttft_p99
        yield Bar(f"{users} users: TTFT p99 ≤ 1.05 of the best's", f"{ratio:.3f}", ratio <= 1.05)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default="r1-distill-nano")
    parser.add_argument("--users", default="16,32", help="numbers of users, by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=3, help="requests a user and round")
    args = parser.parse_args(argv)
    every = frozenset(os.sched_getaffinity(0))
    port = free_port()
    with contextlib.ExitStack() as stack:
        stack.enter_context(bare_engine(args.model, port, f"max_num_seqs={SEQUENCES}"))
        bench = stack.enter_context(targets.bench(Cores(every, every)))
        addresses = []
        for name, batching in WINDOWS.items():
            # A Redis each: windows of one model are shared through it.
            settings = {**batching, "itl_s": ITL_S}
            running = stack.enter_context(
                targets.r1(bench, port, bench.redis(), batching=settings, model=args.model)
            )
            at = running.address
            addresses.append(Target(name, f"http://127.0.0.1:{at.port}/v1", at.model, at.key))
        users = [int(each) for each in args.users.split(",")]
        figures = asyncio.run(compare(addresses, users, args.rounds, args.requests))
    print(table(figures))
    print()
    reached = list(bars(figures))
    for bar in reached:
        print(bar.line())
    return 0 if all(bar.reached for bar in reached) else 1


if __name__ == "__main__":
    raise SystemExit(main())
