"""Plays whole fleets of the 671B behind r1's gateway and behind simpler ones, in virtual time.

    python -m r1.fleet.scale [--size small] [--only SCENARIO] [--plot FOLDER] [--seed N]

Each scenario is played with r1's policies, with round-robin and a fixed window of as many requests
as an engine runs, and with the least loaded replica and no window. The same seed gives the same
table.
"""

from __future__ import annotations

import argparse
import math
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from r1.fleet.scale.bars import bars
from r1.fleet.scale.ledger import recovery_s
from r1.fleet.scale.play import Played, play
from r1.fleet.scale.scenarios import POLICIES, SIZES

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = (
    "| fleet | gateway | questions | good | goodput tok/s | TTFT p99 s | fairness | "
    "attempts a question | USD a million good tokens | refused | failed | broken | left |\n"
    "|" + "---|" * 13
)


def row(played: Played) -> str:
    """A line of the table."""
    figures, ends = played.figures, played.figures.endings
    usd = "–" if math.isinf(figures.usd_per_million) else f"{figures.usd_per_million:.2f}"
    return (
        f"| {played.scenario.name} | {played.policy} | {figures.asked:,} | {figures.good:.1%} "
        f"| {figures.goodput:,.0f} | {figures.ttft_s:.2f} | {figures.fairness:.3f} "
        f"| {figures.amplification:.2f} | {usd} "
        f"| {ends['refused']:,} | {ends['failed']:,} | {ends['broken']:,} | {ends['left']:,} |"
    )


def notes(group: dict[str, Played]) -> list[str]:
    """What the table does not say: recoveries, herds, replica-hours."""
    scenario = group["r1"].scenario
    lines = []
    for policy, played in group.items():
        figures = played.figures
        if scenario.events:
            took_s = recovery_s(figures.course, scenario.events[0].at_s)
            took = "not at its end" if took_s is None else f"after {took_s:.0f} s"
            lines.append(f"{scenario.name}, {policy}: new questions as good as before {took}")
        if scenario.crowds:
            lines.append(
                f"{scenario.name}, {policy}: others' TTFT p99 {figures.others_ttft_s:.2f} s"
            )
        if scenario.autoscaling is not None:
            most = max(count for _, count in played.replicas)
            lines.append(
                f"{scenario.name}, {policy}: {figures.replica_hours:.1f} replica-hours, "
                f"at most {most} replicas"
            )
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m r1.fleet.scale", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--only", action="append", help="the start of a scenario's name; repeat it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="write the plots there, as SVG")
    args = parser.parse_args(argv)
    chosen = [
        scenario
        for scenario in SIZES[args.size]
        if not args.only or scenario.name.startswith(tuple(args.only))
    ]
    if not chosen:
        names = "; ".join(each.name for each in SIZES[args.size])
        parser.error(f"--only: no such scenario; there are: {names}")
    reached: dict[str, bool] = {}
    groups: list[dict[str, Played]] = []
    said: list[str] = []
    print(HEAD)
    with ProcessPoolExecutor() as pool:
        coming = [
            [pool.submit(play, scenario, policy, args.seed) for policy in POLICIES]
            for scenario in chosen
        ]
        for each in coming:
            group = {played.policy: played for played in (future.result() for future in each)}
            groups.append({str(policy): played for policy, played in group.items()})
            print(*(row(played) for played in group.values()), sep="\n", flush=True)
            said += notes(groups[-1])
            reached.update(bars(groups[-1]))
    print("", *(f"- {each}" for each in said), "", sep="\n")
    for bar, met in reached.items():
        print(f"- {'reached' if met else 'MISSED'}: {bar}")
    if args.plot is not None:
        # Imported here: matplotlib takes a second, and is not installed everywhere.
        from r1.fleet.scale.plots import plot

        for path in plot(groups, args.plot):
            print(f"written: {path}")
    return 0 if all(reached.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
