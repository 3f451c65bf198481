"""How much load there is at which moment: users, or calls a second. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Level = float
"""Users, or calls a second."""

_MOST = 1e6
_SPIKE = (0.4, 0.6)
_QUIETEST_HOUR = 4.0


@dataclass(frozen=True)
class Shape:
    """A curve over the load's time; `text` is how it was asked for."""

    text: str
    name: str
    levels: tuple[Level, ...]

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read `8`, `soak:8`, `steps:1,4,16`, `ramp:1,64`, `spike:4,40` or `day:2,30`.

        Raises:
            ValueError: it is none of them; the message says what it should be.
        """
        name, colon, numbers = text.partition(":")
        if not colon:
            name, numbers = "soak", text
        if name not in _CURVES:
            raise ValueError(f"{text!r}: there is no shape {name!r}, but {', '.join(_CURVES)}")
        try:
            levels = tuple(float(each) for each in numbers.split(","))
        except ValueError:
            raise ValueError(f"{text!r}: give numbers, as in {_EXAMPLES[name]}") from None
        wanted = len(_EXAMPLES[name].partition(":")[2].split(","))
        if name != "steps" and len(levels) != wanted:
            raise ValueError(f"{text!r}: {name} takes {wanted} numbers, as in {_EXAMPLES[name]}")
        if not all(0 <= each <= _MOST for each in levels) or not any(levels):
            raise ValueError(f"{text!r}: levels are between 0 and {_MOST:g}, and not all 0")
        return cls(text, name, levels)

    @property
    def highest(self) -> Level:
        """No moment has more."""
        return max(self.levels)

    def at(self, share: float) -> Level:
        """The level when this share of the load's time is over, 0 to 1."""
        return _CURVES[self.name](self.levels, min(max(share, 0.0), 1.0))


def _soak(levels: Sequence[Level], share: float) -> Level:
    return levels[0]


def _steps(levels: Sequence[Level], share: float) -> Level:
    """Each for as long as the others."""
    return levels[min(int(share * len(levels)), len(levels) - 1)]


def _ramp(levels: Sequence[Level], share: float) -> Level:
    """In a straight line."""
    # Not low + share * (high - low), which may end a rounding above high.
    return levels[0] * (1 - share) + levels[1] * share


def _spike(levels: Sequence[Level], share: float) -> Level:
    """The second level in the middle fifth of the time, at once."""
    begin, end = _SPIKE
    return levels[1] if begin <= share < end else levels[0]


def _day(levels: Sequence[Level], share: float) -> Level:
    """From midnight to midnight: the first level at 4 o'clock, the second twelve hours later."""
    hour = 24 * share
    part = (1 - math.cos(2 * math.pi * (hour - _QUIETEST_HOUR) / 24)) / 2
    return levels[0] * (1 - part) + levels[1] * part


_CURVES: Mapping[str, Callable[[Sequence[Level], float], Level]] = {
    "soak": _soak,
    "steps": _steps,
    "ramp": _ramp,
    "spike": _spike,
    "day": _day,
}
_EXAMPLES = {
    "soak": "soak:8",
    "steps": "steps:1,4,16",
    "ramp": "ramp:1,64",
    "spike": "spike:4,40",
    "day": "day:2,30",
}
