"""What the replicas told in one round, and what is to be made of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.canary.numbers import NOTHING, Numbers
from gateway.canary.policy import Verdict, judge, middle


@dataclass(frozen=True, slots=True)
class Told:
    """A replica's answer: `variant` says what it runs, `fault` why there are no numbers.

    `numbers` are None where it could not be asked, or said that it was busy: that tells nothing.
    They are NOTHING where it answered and had none, as engines do whose numbers are no numbers.
    """

    variant: str
    numbers: Numbers | None = None
    fault: str | None = None


def verdicts(
    told: Mapping[str, Told], records: Mapping[str, Numbers], tolerance: float
) -> dict[str, Verdict]:
    """Of those that answered, by URL; only the same variants are compared.

    Where none of them has numbers, and there is no record either, they may not be able to.
    """
    found: dict[str, Verdict] = {}
    for variant, answers in _by_variant(told).items():
        record = records.get(variant)
        if record is not None or any(each is not NOTHING for each in answers.values()):
            found |= judge(answers, record, tolerance)
    return found


def to_record(told: Mapping[str, Told], tolerance: float) -> tuple[dict[str, Numbers], str | None]:
    """What to record of each variant, or why nothing is: all replicas have to agree."""
    silent = [url for url, each in told.items() if each.numbers in (None, NOTHING)]
    if silent or not told:
        return {}, f"no numbers came from {', '.join(sorted(silent)) or 'any replica'}"
    new: dict[str, Numbers] = {}
    for variant, answers in _by_variant(told).items():
        name = middle(answers, tolerance)
        if name is None:
            return {}, f"the replicas don't agree: {', '.join(sorted(answers))}"
        found = judge(answers, answers[name], tolerance)
        wrong = sorted(url for url, each in found.items() if each.finding != "right")
        if wrong:
            return {}, f"the replicas don't agree: {', '.join(wrong)} computes something else"
        new[variant] = answers[name]
    return new, None


def _by_variant(told: Mapping[str, Told]) -> dict[str, dict[str, Numbers]]:
    found: dict[str, dict[str, Numbers]] = {}
    for url, each in told.items():
        if each.numbers is not None:
            found.setdefault(each.variant, {})[url] = each.numbers
    return found
