"""Which fault comes when, by a seed. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

CALM_S = (2.0, 8.0)
"""Between two faults."""
LAST_S = 5.0
"""Before the end, when no fault holds any more."""


@dataclass(frozen=True)
class Strike(Generic[T]):
    """A fault that begins `at` and is held for `hold_s`, in seconds."""

    at: float
    fault: T
    hold_s: float


def schedule(
    seed: int, seconds: float, faults: Sequence[tuple[T, float]], *, most_hold_s: float
) -> list[Strike[T]]:
    """One fault after the other, each as often as any other but in no order.

    Args:
        seed: the same one gives the same schedule.
        seconds: of the whole run.
        faults: each with the longest time that it is held; at least 30 % of it are drawn.
        most_hold_s: no fault is held for longer.
    """
    rng = random.Random(seed)
    strikes: list[Strike[T]] = []
    at = rng.uniform(*CALM_S)
    deck: list[tuple[T, float]] = []
    while faults:
        if not deck:
            deck = [*faults]
            rng.shuffle(deck)
        fault, longest_s = deck.pop()
        hold_s = min(most_hold_s, longest_s) * rng.uniform(0.3, 1.0)
        if at + hold_s > seconds - LAST_S:
            break
        strikes.append(Strike(at, fault, hold_s))
        at += hold_s + rng.uniform(*CALM_S)
    return strikes
