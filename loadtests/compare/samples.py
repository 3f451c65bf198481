"""What rounds come to: their order, medians with ranges, and who is ahead. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Figure:
    """One thing that is measured: a column of a table."""

    name: str
    title: str
    """With its unit."""
    better: Literal["more", "less"]
    digits: int = 0


@dataclass(frozen=True)
class Summary:
    """A figure over its rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Raises ValueError without values."""
        if not values:
            raise ValueError("no round gave this figure")
        return cls(median(values), min(values), max(values))

    def text(self, digits: int) -> str:
        """The median, and the range where it says more."""
        low, middle, high = (f"{value:,.{digits}f}" for value in (self.low, self.median, self.high))
        return middle if low == high else f"{middle} ({low}–{high})"


@dataclass
class Samples:
    """All rounds of one case: of each server the figures of each of its rounds."""

    rounds: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a server has no figures, or not those of all rounds."""

    def note(self, server: str, figures: Mapping[str, float]) -> None:
        """A round's figures."""
        self.rounds.setdefault(server, []).append(figures)

    def summary(self, server: str, figure: Figure) -> Summary | None:
        """None if it was not measured there."""
        values = [each[figure.name] for each in self.rounds.get(server, ()) if figure.name in each]
        return Summary.of(values) if values else None


def order(servers: Sequence[str], number: int) -> list[str]:
    """The order of a round: backwards in every other one, and each pair begins one place further.

    So a drift of the machine favours nobody, and nobody always follows the same one.
    """
    shift = number // 2 % len(servers) if servers else 0
    turned = [*servers[shift:], *servers[:shift]]
    return turned if number % 2 == 0 else turned[::-1]


def standing(ours: Summary, theirs: Summary, figure: Figure) -> str:
    """How ours stands to theirs: `ahead`, `behind`, or `level` where the ranges overlap."""
    if ours.low <= theirs.high and theirs.low <= ours.high:
        return "level"
    more = ours.median > theirs.median
    return "ahead" if more == (figure.better == "more") else "behind"
