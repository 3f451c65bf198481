"""Whether something stays the same over hours, in spite of its ups and downs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_POINTS = 400
SETTLED = 0.25
"""Share of a run that does not count: caches fill."""


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Growth a second: the median of the slopes of all pairs of points.

    A quarter of the points may be anything (Theil 1950, Sen 1968). 0 for less than two points.
    """
    step = -(-len(points) // _MOST_POINTS) or 1
    pairs = combinations(points[::step], 2)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] > a[0]]
    return median(slopes) if slopes else 0.0


@dataclass(frozen=True)
class Growth:
    """What something grew by in the part of a run that counts, and its median there."""

    grown: float
    usual: float

    @staticmethod
    def of(points: Sequence[tuple[float, float]]) -> Growth:
        """Of (seconds, value)."""
        if not points:
            return Growth(0.0, 0.0)
        first, last = points[0][0], points[-1][0]
        counted = [each for each in points if each[0] >= first + (last - first) * SETTLED]
        seconds = counted[-1][0] - counted[0][0]
        return Growth(slope(counted) * seconds, median(value for _, value in counted))

    def within(self, share: float, least: float) -> bool:
        """Whether it grew by no more than a share of itself, or than `least`."""
        return self.grown <= max(share * self.usual, least)
