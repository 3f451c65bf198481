"""What a load's calls came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadtests.overload.arrivals import Asked

_SHED = (429, 503)


def quantile(part: float, values: Iterable[float]) -> float:
    """The value below which that part of the values lies; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True)
class Step:
    """One offered load. Times in seconds, rates in calls a second.

    `goodput`: calls that ended whole and in time, a second; `broken`: answers that are neither
    whole nor an overload's.
    """

    offered: float
    goodput: float
    ttft_p50: float
    ttft_p99: float
    shed: int
    shed_p50: float
    shed_p99: float
    unadvised: int
    broken: int


def step(calls: Sequence[Asked], offered: float, warm_s: float, end_s: float, slo_s: float) -> Step:
    """The figures of the calls between `warm_s` and `end_s` after the load's beginning."""
    seen = [each for each in calls if each.arrival.due >= warm_s]
    whole = [each.answer for each in calls if each.answer.status == 200 and each.answer.complete]
    # By their end: those who still wait when the load is over would count for more than it is.
    base = min((each.answer.began - each.arrival.due for each in calls), default=0.0)
    good = [
        answer for answer in whole if warm_s <= answer.ended - base < end_s and answer.ttft <= slo_s
    ]
    ttft = [each.answer.ttft for each in seen if each.answer.first]
    shed = [each.answer for each in seen if each.answer.status in _SHED]
    return Step(
        offered=offered,
        goodput=len(good) / (end_s - warm_s),
        ttft_p50=quantile(0.5, ttft),
        ttft_p99=quantile(0.99, ttft),
        shed=len(shed),
        shed_p50=quantile(0.5, (each.seconds for each in shed)),
        shed_p99=quantile(0.99, (each.seconds for each in shed)),
        unadvised=sum(each.retry_after < 1 for each in shed),
        broken=sum(
            not each.answer.complete or each.answer.status not in (200, *_SHED) for each in calls
        ),
    )


def line(name: str, step: Step) -> str:
    """A row of the table."""
    return (
        f"| {name} | {step.offered:.1f} | {step.goodput:.1f} "
        f"| {step.ttft_p50 * 1000:.0f}/{step.ttft_p99 * 1000:.0f} | {step.shed} "
        f"| {step.shed_p50 * 1000:.1f}/{step.shed_p99 * 1000:.1f} | {step.broken} |"
    )


HEAD = (
    "| load | calls/s | goodput calls/s | TTFT p50/p99 ms | shed | answered within p50/p99 ms "
    "| broken |\n|---|---|---|---|---|---|---|"
)
