"""What became of every question, and the figures that follow. Pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from r1.fleet.scale.load import People

Ending = Literal["whole", "refused", "failed", "broken", "left"]
"""`refused`: told to come later; `failed`: an error before the first token; `broken`: after it;
`left`: its person had waited for the first token as long as they could."""


@dataclass(slots=True)
class Seen:
    """One question as its person saw it. Times in seconds of the simulation."""

    sort: str
    tenant: str
    asked_s: float
    tokens: int
    """Of the whole answer."""
    first_s: float | None = None
    """When the first token came."""
    ended_s: float | None = None
    ending: Ending | None = None
    calls: int = 0
    """Requests that the client made for it."""

    @property
    def ttft_s(self) -> float | None:
        """From the question to the first token. Who left has waited so long, at least."""
        if self.first_s is None:
            return None if self.ended_s is None else self.ended_s - self.asked_s
        return self.first_s - self.asked_s

    def good(self, people: People) -> bool:
        """Whole, begun in time and fast enough."""
        if self.ending != "whole" or self.first_s is None or self.ended_s is None:
            return False
        pace_s = (self.ended_s - self.first_s) / max(1, self.tokens - 1)
        return self.first_s - self.asked_s <= people.ttft_s and pace_s <= people.tpot_s


@dataclass
class Figures:
    """What a gateway made of a scenario, over the measured time."""

    asked: int
    endings: Counter[str]
    goodput: float
    """Tokens a second of good answers, by the time of their question."""
    good: float
    """Share of the questions with a good answer."""
    ttft_s: float
    """99th percentile: of answers and of those who left before theirs."""
    others_ttft_s: float
    """The same without the crowd's."""
    fairness: float
    """Jain's index over the tenants of what each got of its fair share; 1 is best."""
    amplification: float
    """Attempts at engines for each question, while there was trouble."""
    usd_per_million: float
    """For a million tokens of good answers."""
    replica_hours: float
    preemptions: int = 0
    course: list[tuple[float, float]] = field(default_factory=list)
    """Time of asking, and the share of the questions asked then with a good answer."""


def figures(
    seen: Sequence[Seen],
    people: People,
    *,
    measured: tuple[float, float],
    trouble: tuple[float, float],
    attempts: Sequence[float],
    replica_hours: float,
    usd_per_hour: float,
    preemptions: int = 0,
    bin_s: float = 10.0,
) -> Figures:
    """The figures of the questions that were asked in the `measured` time, in seconds.

    `replica_hours` are of that time, too; `attempts` are the times of all attempts at engines,
    counted while there was `trouble`.
    """
    start, end = measured
    counted = [each for each in seen if start <= each.asked_s < end]
    good = [each for each in counted if each.good(people)]
    tokens = sum(each.tokens for each in good)
    bins: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    asked: Counter[str] = Counter()
    got: Counter[str] = Counter()
    for each in counted:
        place = bins[int(each.asked_s // bin_s)]
        place[0] += 1
        place[1] += each.good(people)
        asked[each.tenant] += each.tokens
    for each in good:
        got[each.tenant] += each.tokens
    return Figures(
        asked=len(counted),
        endings=Counter(str(each.ending) for each in counted),
        goodput=tokens / (end - start),
        good=len(good) / max(1, len(counted)),
        ttft_s=_ttft(counted),
        others_ttft_s=_ttft([each for each in counted if each.sort != "crowd"]),
        fairness=fairness(asked, got),
        amplification=_within(attempts, trouble)
        / max(1, _within((each.asked_s for each in seen), trouble)),
        usd_per_million=replica_hours * usd_per_hour * 1e6 / tokens if tokens else math.inf,
        replica_hours=replica_hours,
        preemptions=preemptions,
        course=[(number * bin_s, each[1] / each[0]) for number, each in sorted(bins.items())],
    )


def _within(times: Iterable[float], span: tuple[float, float]) -> int:
    return sum(span[0] <= each < span[1] for each in times)


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; 0 where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _ttft(counted: Iterable[Seen]) -> float:
    """The 99th percentile. Who was refused has no TTFT: that was told at once."""
    times = (each.ttft_s for each in counted if each.first_s is not None or each.ending == "left")
    return quantile((each for each in times if each is not None), 0.99)


def fair_shares(asked: Mapping[str, float], total: float) -> dict[str, float]:
    """What each gets of `total` if nobody gets more than they asked for, and whoever gets less
    gets as much as anybody (max-min fairness)."""
    shares: dict[str, float] = {}
    left = total
    for number, name in enumerate(sorted(asked, key=lambda name: (asked[name], name))):
        shares[name] = min(asked[name], left / (len(asked) - number))
        left -= shares[name]
    return shares


def fairness(asked: Mapping[str, float], got: Mapping[str, float]) -> float:
    """Jain's index of what each got beside its fair share of what all got; 1 is best.

    Jain, Chiu and Hawe, "A Quantitative Measure of Fairness and Discrimination", 1984. A tenant
    that got more than its fair share counts as one that got it.
    """
    shares = fair_shares(asked, sum(got.values()))
    ratios = [min(1.0, got.get(name, 0.0) / share) for name, share in shares.items() if share > 0]
    squares = sum(ratio * ratio for ratio in ratios)
    return sum(ratios) ** 2 / (len(ratios) * squares) if squares else 0.0


def recovery_s(
    course: Sequence[tuple[float, float]], at_s: float, share: float = 0.95
) -> float | None:
    """Seconds from `at_s` until the last bin below `share` of what was usual before is over.

    0 where none was below; None where it still is at the end.
    """
    before = [value for when, value in course if when < at_s]
    after = [(when, value) for when, value in course if when >= at_s - 10.0]
    if not before or len(after) < 2:
        return None
    usual = share * sum(before) / len(before)
    below = [place for place, (_, value) in enumerate(after) if value < usual]
    if not below:
        return 0.0
    if below[-1] == len(after) - 1:
        return None
    return after[below[-1] + 1][0] - at_s
