"""What numbers mean: how far they are from others, whom to believe, whom to leave out. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from gateway.canary.numbers import Numbers

Finding = Literal["right", "wrong", "disputed", "alone"]
"""`disputed`: replicas differ, and none can be believed more; `alone`: there is nothing to compare
with."""

_MOST = 20.0
"""A difference counts as this many nats at most: engines write -9999 for a probability of zero."""


def drift(reference: Numbers, given: Numbers) -> float:
    """How far `given` is from `reference`, in nats; infinite if the prompt is another one.

    The larger of two means of absolute differences of log-probabilities: of the prompt's tokens,
    and of the reference's greedy tokens. The answer is compared up to the first place where the
    greedy tokens part, that place included: from there on the two have different contexts. In
    health they part only where two tokens are about as likely, so that the difference is small.
    """
    if len(reference.prompt) != len(given.prompt):
        return math.inf
    prompt = [abs(a - b) for a, b in zip(reference.prompt, given.prompt, strict=True)]
    answer = []
    steps = zip(reference.tokens, reference.tops, given.tokens, given.tops, strict=False)
    for token, expected, other, found in steps:
        # One that is not among the likeliest is less likely than all of these.
        value = found.get(token, min(found.values()))
        answer.append(abs(expected[token] - value))
        if token != other:
            break
    means = [fmean(min(_MOST, each) for each in some) for some in (prompt, answer) if some]
    return max(means, default=math.inf)


def middle(answers: Mapping[str, Numbers], tolerance: float) -> str | None:
    """Whose numbers stand for what most replicas compute; None where no majority agrees.

    The one with the most within `tolerance`, if these are more than half of all; of several the
    one that is nearest to them.
    """
    best: tuple[int, float, str] | None = None
    for name in sorted(answers):
        drifts = [drift(answers[name], each) for each in answers.values()]
        near = [each for each in drifts if each <= tolerance]
        rank = (-len(near), sum(near), name)
        if 2 * len(near) > len(answers) and (best is None or rank < best):
            best = rank
    return None if best is None else best[2]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one replica's numbers came to in a round; `drift` is None where nothing was to compare
    with."""

    finding: Finding
    drift: float | None


def judge(
    answers: Mapping[str, Numbers], record: Numbers | None, tolerance: float
) -> dict[str, Verdict]:
    """Compare the replicas of one variant of a model: with the record, else with each other.

    One alone, or two that differ, can't be told right from wrong without a record.
    """
    reference = record
    if reference is None:
        if len(answers) == 1:
            return dict.fromkeys(answers, Verdict("alone", None))
        name = middle(answers, tolerance)
        if name is None:
            return dict.fromkeys(answers, Verdict("disputed", None))
        reference = answers[name]
    found = {name: drift(reference, each) for name, each in answers.items()}
    return {
        name: Verdict("right" if far <= tolerance else "wrong", min(far, _MOST))
        for name, far in found.items()
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """How a replica stands after its rounds so far.

    `against`: rounds in a row that spoke against what it counts as, ejected or not.
    """

    ejected: bool = False
    against: int = 0

    def after(self, finding: Finding, rounds: int) -> Standing:
        """After one more round; `rounds` in a row turn it. What can't be told changes nothing."""
        if finding not in ("right", "wrong"):
            return self
        if (finding == "wrong") == self.ejected:
            return replace(self, against=0)
        if self.against + 1 < rounds:
            return replace(self, against=self.against + 1)
        return Standing(ejected=not self.ejected)
