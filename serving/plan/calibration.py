"""Fits the four efficiency factors to published figures, and says how far off predictions are.

Each figure is also predicted by factors that were fitted without it and all others of its run: the
leave-one-out error, which is what a plan for something new may expect. Those never fitted to are
predicted by the factors as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from serving.plan.group import Group
from serving.plan.published import Kind, Measurement, figures, predict
from serving.plan.roofline import Factors

CALIBRATED = Factors(memory=0.653, compute=0.392, kernel_s=7.44e-6, request_s=0.0606)
"""What `fit` gives for the figures that ship; a test fits again and compares."""
BANDS: dict[Kind, float] = {"decode": 0.15, "TTFT": 0.35, "prefill": 0.3}
"""Relative error within which four of five predictions of runs left out are."""
START = Factors(memory=0.6, compute=0.4, kernel_s=7e-6, request_s=0.04)
STEPS = (1.2, 1.1, 1.05, 1.02, 1.01, 1.005)
BARS: dict[Kind, float] = {"decode": 0.25, "TTFT": 0.35}
MEDIAN_BAR = 0.12


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published figure beside what the plan says."""

    run: str
    figure: str
    kind: Kind
    published: float
    predicted: float

    @property
    def error(self) -> float:
        """Relative, with its sign."""
        return self.predicted / self.published - 1


Runs = Sequence[tuple[Measurement, Group]]


def prepared(runs: Sequence[Measurement]) -> Runs:
    """Each run with its engine group, which the catalog is read for once."""
    return [(run, run.engine.group(START)) for run in runs]


def compare(runs: Runs, factors: Factors) -> list[Comparison]:
    """Every figure of the runs beside its prediction."""
    found = []
    for run, group in runs:
        told = predict(run, replace(group, factors=factors))
        found += [
            Comparison(run.id, name, kind, value, told[name])
            for _, name, value, kind in figures((run,))
        ]
    return found


def loss(runs: Runs, factors: Factors) -> float:
    """Sum of the squared logarithms of predicted over published."""
    return sum(math.log(1 + each.error) ** 2 for each in compare(runs, factors))


def fit(runs: Runs, start: Factors = START, steps: Sequence[float] = STEPS) -> Factors:
    """The factors with the least loss, found by going one at a time in ever smaller steps."""
    best, least = start, loss(runs, start)
    for step in steps:
        moved = True
        while moved:
            moved = False
            for name in [each.name for each in fields(Factors)]:
                for turn in (step, 1 / step):
                    tried = replace(best, **{name: getattr(best, name) * turn})
                    found = loss(runs, tried)
                    if found < least - 1e-12:
                        best, least, moved = tried, found, True
    return best


def leave_one_out(runs: Runs, whole: Factors) -> list[Comparison]:
    """Every figure predicted by factors fitted to the other runs."""
    found = []
    for index, run in enumerate(runs):
        others = [*runs[:index], *runs[index + 1 :]]
        found += compare([run], fit(others, whole, STEPS[2:]))
    return found
