"""Whether the time of a refusal tells how near a guessed key is to a right one: a measurement.

python -m tests.contract.safety.timing [CHECKS]
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from statistics import median

from tests.unit.gateway.test_key_timing import Door, near

_BODY = (3, 34)  # the first and last place of a key's random characters


async def measure(checks: int) -> tuple[list[int], list[int]]:
    """Nanoseconds of checks of keys wrong in the first and in the last character, interleaved."""
    door, rng = Door(), random.Random(1)
    keys = [near(place) for place in _BODY]
    taken: tuple[list[int], list[int]] = ([], [])
    for _ in range(checks):
        for which in rng.sample((0, 1), 2):
            began = time.perf_counter_ns()
            await door.refuses(keys[which])
            taken[which].append(time.perf_counter_ns() - began)
    return taken


def chance(first: list[int], last: list[int], rounds: int = 1000) -> float:
    """How often labels given by chance differ as much: the p-value of a permutation test.

    Pairs were measured one after the other, so labels change places within a pair.
    """
    rng = random.Random(2)
    differences = [mine - other for mine, other in zip(first, last, strict=True)]
    seen = abs(median(differences))
    hits = sum(
        abs(median(each if rng.random() < 0.5 else -each for each in differences)) >= seen
        for _ in range(rounds)
    )
    return hits / rounds


def main() -> int:
    """Command line: prints what was measured."""
    checks = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first, last = asyncio.run(measure(checks))
    print(f"checks of each: {checks}")
    print(f"wrong in the first character: median {median(first) / 1000:.2f} µs")
    print(f"wrong in the last character: median {median(last) / 1000:.2f} µs")
    print(f"difference of medians: {(median(first) - median(last)) / 1000:+.3f} µs")
    print(f"chance alone gives as much in {chance(first, last):.0%} of permutations")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
