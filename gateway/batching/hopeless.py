"""Whether waiting is of use. Pure."""

from __future__ import annotations

import math

_SURE = 0.75
"""Part of the time that one can wait, within which its turn is to come; the rest is for chance."""
_VISITS = 100


class Pace:
    """How long places are kept, and so how fast they come free."""

    def __init__(self) -> None:
        self._mean_s = 0.0
        self._seen = 0

    def left(self, kept_s: float) -> None:
        """A place came free after so many seconds."""
        self._seen = min(self._seen + 1, _VISITS)
        self._mean_s += (kept_s - self._mean_s) / self._seen

    def wait_s(self, ahead: int, places: float) -> float | None:
        """Seconds until one comes to its turn behind `ahead` others, where there are so many
        places; None while nothing is known."""
        if not self._seen:
            return None
        return (ahead + 1) * self._mean_s / max(1.0, places)

    def going(self, seconds: float) -> float:
        """Part of the places that are still kept so much later; all while nothing is known."""
        return math.exp(-seconds / self._mean_s) if self._mean_s else 1.0


def back_after(wait_s: float, bound_s: float) -> float | None:
    """Seconds after which to come back, for one whose turn would come after about `wait_s`
    although it can wait for `bound_s` only; None if it may wait.

    In that time the queue gets as much shorter as it is too long now, if nobody else comes.
    """
    sure_s = _SURE * max(0.0, bound_s)
    if wait_s <= sure_s:
        return None
    return wait_s - sure_s
