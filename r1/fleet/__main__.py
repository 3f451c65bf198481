"""Compares batch windows in virtual time, and says which bars the gateway's own one reaches.

    python -m r1.fleet [--only SCENARIO]

Each scenario is played with fixed windows of 4 and 32, without one, with the best fixed one that
can be found in hindsight, and with the gateway's. The best one has the most tokens a second of
those that keep the ITL's target; of equals, the shortest TTFT.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from r1.fleet.batching import FixedWindow, Result, play
from r1.fleet.chart import draw
from r1.fleet.lane import GatewayDoor
from r1.fleet.scenarios import HIGH, LOW, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COARSE = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_EQUAL = 0.995
_THROUGHPUT, _TTFT, _LOW_TTFT, _LOSS = 0.95, 1.05, 1.05, 0.8


def fixed(scenario: Scenario, size: int) -> Result:
    """The scenario with a window of `size`."""
    return play(scenario, lambda _: FixedWindow(size))


def followed(scenario: Scenario) -> Result:
    """The scenario with the gateway's window."""
    return play(scenario, GatewayDoor)


def best(results: dict[int, Result]) -> int:
    """The window that was best in hindsight; the smallest where none kept the target."""
    kept = {size: result for size, result in results.items() if result.kept}
    if not kept:
        return min(results)
    most = max(result.throughput for result in kept.values())
    equals = [size for size, result in kept.items() if result.throughput >= _EQUAL * most]
    return min(equals, key=lambda size: kept[size].ttft())


def search(pool: ProcessPoolExecutor, scenario: Scenario) -> dict[int, Result]:
    """Results of fixed windows, more of them where the best one is."""
    results: dict[int, Result] = {}

    def add(sizes: Iterable[int]) -> None:
        new = sorted({min(size, scenario.capacity) for size in sizes} - results.keys())
        results.update(zip(new, pool.map(fixed, [scenario] * len(new), new), strict=True))

    add(_COARSE)
    for part in (8, 16, 32):
        at = best(results)
        step = max(1, at // part)
        add((at - step, at + step))
    return results


def row(name: str, result: Result, base: Result) -> str:
    """A line of a scenario's table; `base` is the best fixed window."""
    return (
        f"| {result.scenario.name} | {name} | {result.throughput:.0f} "
        f"| {result.throughput / base.throughput:.3f} "
        f"| {result.itl() * 1e3:.1f} of {result.scenario.itl_s * 1e3:.0f} "
        f"| {result.ttft(0.5):.3f} | {result.ttft():.3f} | {result.ttft() / base.ttft():.3f} |"
    )


def high(pool: ProcessPoolExecutor, scenario: Scenario, bars: dict[str, bool]) -> Result:
    """Prints a scenario of high load, and notes its bars."""
    own = pool.submit(followed, scenario)
    results = search(pool, scenario)
    size = best(results)
    base, result = results[size], own.result()
    for name, each in (
        ("4", results[4]),
        ("32", results[32]),
        ("none", results[scenario.capacity]),
        (f"best fixed: {size}", base),
        ("r1", result),
    ):
        print(row(name, each, base), flush=True)
    share, slower = result.throughput / base.throughput, result.ttft() / base.ttft()
    bars[f"{scenario.name}: {share:.3f} of the best throughput (>= {_THROUGHPUT})"] = (
        share >= _THROUGHPUT
    )
    bars[f"{scenario.name}: ITL p99 {result.itl() * 1e3:.1f} ms kept"] = result.kept
    bars[f"{scenario.name}: TTFT p99 {slower:.3f} of the best window's (<= {_TTFT})"] = (
        slower <= _TTFT
    )
    if scenario.name == "reasoning":
        bars["reasoning: without a window the ITL is missed"] = not results[scenario.capacity].kept
    if scenario.name == "chat":
        lost = results[4].throughput / base.throughput
        bars[f"chat: a window of 4 gives {lost:.2f} of the best throughput (<= {_LOSS})"] = (
            lost <= _LOSS
        )
    return result


def low(pool: ProcessPoolExecutor, scenario: Scenario, bars: dict[str, bool]) -> None:
    """Prints a scenario of low load, and notes its bars."""
    pair = pool.submit(fixed, scenario, scenario.capacity), pool.submit(followed, scenario)
    none, own = (each.result() for each in pair)
    print(row("none", none, none), row("r1", own, none), sep="\n", flush=True)
    for share in (0.5, 0.99):
        slower = own.ttft(share) / none.ttft(share)
        bars[
            f"{scenario.name}: TTFT p{share * 100:.0f} {slower:.3f} of none's (<= {_LOW_TTFT})"
        ] = slower <= _LOW_TTFT


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m r1.fleet", description=__doc__)
    parser.add_argument("--only", action="append", help="a scenario's name; repeat it")
    args = parser.parse_args(argv)
    bars: dict[str, bool] = {}
    chosen = args.only or [each.name for each in (*HIGH, *LOW)]
    print("| load | window | tokens/s | of best | ITL p99 ms | TTFT p50 s | p99 s | of best |")
    print("|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor() as pool:
        courses = [high(pool, scenario, bars) for scenario in HIGH if scenario.name in chosen]
        for scenario in LOW:
            if scenario.name in chosen:
                low(pool, scenario, bars)
    for result in courses:
        print(f"\nr1's window over the time (s), {result.scenario.name}:")
        print(draw(result.course))
    print()
    for bar, reached in bars.items():
        print("reached    " if reached else "NOT REACHED", bar)
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
