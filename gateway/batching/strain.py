"""What the users of a replica see, beside what they are owed. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

from gateway.batching.window import Reading, Slowest
from gateway.batching_settings import Batching

_STEP = 1.04
_BOUNDS = tuple(accumulate(range(150), lambda bound, _: bound * _STEP, initial=0.05))
"""Of the buckets, each 4 % wider than the last: 0.05 to 18 times the target."""
_LIGHTEST, _HEAVIEST = 1e-30, 1e60
_USUAL_S = 10.0
_FIRST_S = 30.0
_ENOUGH_STEPS = 20
_SURE_STEPS = 100
"""A hundredth of fewer steps than these is less than one."""
_ENOUGH_FIRSTS = 20
_BLIND = 4
"""Intervals without a stream's tokens, after which none are to be expected."""


def bucket(ratio: float) -> int:
    """Where a ratio is counted."""
    return bisect_left(_BOUNDS, ratio)


class Quantile:
    """A quantile of ratios, older ones forgotten little by little.

    What is new weighs more instead of what is old less, so that forgetting costs nothing: one
    worker does it for each replica of the fleet, twice a second (Cormode et al., "Forward Decay",
    2009).
    """

    __slots__ = ("_counts", "_inside", "_share", "_top", "_weight", "count")

    def __init__(self, share: float) -> None:
        """Args: `share` of all ratios are at most the quantile."""
        self._share = share
        self._counts = [0.0] * (len(_BOUNDS) + 1)
        self._inside = [0.0] * (len(_BOUNDS) + 1)
        self._weight = 1.0
        """Of what is counted now."""
        self._top = 0
        """No ratio lies in a higher bucket."""
        self.count = 0.0

    def add(self, place: int, times: float, inside: float) -> None:
        """Count ratios of one bucket, seen with so many requests `inside` on average."""
        self._counts[place] += times * self._weight
        self._inside[place] += times * self._weight * inside
        self._top = max(self._top, place)
        self.count += times

    def fade(self, kept: float) -> None:
        """Keep this share of the weight of all that was counted so far."""
        kept = max(kept, _LIGHTEST)
        self._weight /= kept
        self.count *= kept
        if self._weight > _HEAVIEST:
            self._counts = [each / self._weight for each in self._counts]
            self._inside = [each / self._weight for each in self._inside]
            self._weight = 1.0

    def value(self) -> Slowest:
        """The quantile, as if what is in its bucket were spread evenly, and the mean of `inside`
        over all that is at least as slow."""
        above = self.count * self._weight * (1.0 - self._share)
        seen = inside = 0.0
        for place in range(self._top, -1, -1):
            here = self._counts[place]
            seen += here
            inside += self._inside[place]
            if here and seen >= above:
                top = _BOUNDS[min(place, len(_BOUNDS) - 1)]
                return Slowest(top / _STEP ** ((above - seen + here) / here), inside / seen)
        return Slowest(0.0, 0.0)


Counts = Mapping[int, tuple[float, float]]
"""By bucket: how often, and the sum of the requests inside at the time."""


class Strain:
    """What is remembered of one replica."""

    def __init__(self, settings: Batching) -> None:
        interval_s = settings.interval_s
        self._kept = math.exp(-interval_s / settings.memory_s)
        self._kept_usual = math.exp(-interval_s / _USUAL_S)
        self._kept_first = math.exp(-interval_s / _FIRST_S)
        self._gaps = Quantile(0.99)
        self._usual = Quantile(0.5)
        self._first = Quantile(0.95)
        self._steps = 0.0
        self._blind = 0

    def add(self, gaps: Sequence[Counts], firsts: Sequence[Counts]) -> None:
        """What was seen in the last interval."""
        self._blind = 0 if any(gaps) else self._blind + 1
        if any(gaps):
            self._gaps.fade(self._kept)
            self._usual.fade(self._kept_usual)
        for place, (times, inside) in (item for counts in gaps for item in counts.items()):
            self._gaps.add(place, times, inside / times)
            self._usual.add(place, times, inside / times)
            # All that are inside get a token from each step.
            self._steps += times * times / inside
        if any(firsts):
            self._first.fade(self._kept_first)
        for place, (times, inside) in (item for counts in firsts for item in counts.items()):
            self._first.add(place, times, inside / times)

    def read(self, *, waiting: bool) -> Reading:
        """What there is to say now. A first token's target that is missed is told once."""
        gaps = usual = first = None
        if self._steps >= _ENOUGH_STEPS:
            gaps, usual = self._gaps.value(), self._usual.value()
            if self._steps < _SURE_STEPS and gaps.ratio > 1.0:
                gaps = gaps._replace(ratio=1.0)
        if self._first.count >= _ENOUGH_FIRSTS:
            first = self._first.value()
            if first.ratio > 1.0:
                self._first = Quantile(0.95)
        blind = not self._steps and self._blind >= _BLIND
        return Reading(gaps, usual, first, waiting=waiting, blind=blind)
