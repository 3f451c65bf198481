"""How many requests a replica may decode at once. Pure.

The rate of arrivals gives the window to begin with; from then on what the replica's users see
moves it. A decode step takes a time that is affine in its batch: a part for the weights, and a
part for each sequence. So one request more makes a step longer by at most its share of what a
step takes now, and as many more as surely fit can be let in at once; the nearer the target, the
smaller the raise, so that the batch that just meets it is approached without being passed. The
same line leads back from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.batching_settings import Batching


class Slowest(NamedTuple):
    """The slowest of what was measured: its ratio to the target, and the requests inside then."""

    ratio: float
    inside: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the users of a replica saw, as ratios to the targets.

    `gaps`: the ITL that is to keep its target, over some minutes; `usual`: the median of the last
    seconds; `first`: the time to a first token. None: too little is known. `waiting`: somebody
    waits for a place. `blind`: there are no streams whose gaps could tell.
    """

    gaps: Slowest | None
    usual: Slowest | None
    first: Slowest | None
    waiting: bool
    blind: bool = False


def start(rate: float, settings: Batching) -> int:
    """The window by the plain rule, for `rate` arrivals a second and replica.

    `low_window` up to `low_qps`, `high_window` from `high_qps` on, linear between.
    """
    span = settings.high_qps - settings.low_qps
    part = min(1.0, max(0.0, (rate - settings.low_qps) / span))
    return round(settings.low_window + part * (settings.high_window - settings.low_window))


def adjust(window: float, seen: Reading, capacity: int, settings: Batching) -> float:
    """The next window: at most `capacity`, and never below `low_window`.

    Raised additively: as far as surely meets the target, else by a `probe` while somebody waits;
    by `increase` where nobody streams. Lowered multiplicatively when a target is missed.
    """
    least = float(min(capacity, settings.low_window))
    most = float(capacity)
    if seen.first is not None and seen.first.ratio > 1.0:
        return min(most, max(least, min(window, seen.first.inside) * settings.decrease))
    if seen.gaps is None or seen.usual is None:
        unopposed = seen.waiting and seen.blind
        return min(most, window + settings.increase) if unopposed else min(most, window)
    slope = seen.usual.ratio / seen.usual.inside
    best = seen.gaps.inside + (settings.margin - seen.gaps.ratio) / slope
    if seen.usual.ratio > 1.0:
        # Slow at the moment, whatever was inside when it was slowest.
        best = min(best, seen.usual.inside + (settings.margin - seen.usual.ratio) / slope)
    if seen.gaps.ratio > 1.0:
        return min(most, max(least, min(window, max(best, window * settings.decrease))))
    if seen.usual.inside > seen.gaps.inside:
        best += seen.usual.inside - seen.gaps.inside
    raised = min(best, window + max(settings.increase, window / 2))
    if seen.waiting and seen.gaps.ratio < settings.margin:
        raised = max(raised, window * (1.0 + settings.probe))
    return min(most, max(window, raised))
