"""How many places each key has, and which are kept for those who were here before. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

_DEVIATIONS = 2.0
"""Of a Poisson number of requests: more of them at once are no chance."""


class Shares:
    """Places of one model in one worker, by key.

    A burst of one key must not take the last place from the others, whose next requests would wait
    until an answer ends, which may take minutes. So a key that has its share, and asks for more
    than chance explains, leaves as many places as the others lately had at once. Where nobody else
    was, nothing is kept.
    """

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}
        """Places that each key would have if it got all that it asks for."""
        self._inside: dict[str, int] = {}
        self._peak: dict[str, float] = {}

    def ask(self, key: str) -> None:
        """One more request, whatever becomes of it."""
        self._asked[key] = self._asked.get(key, 0.0) + 1.0

    def enter(self, key: str) -> None:
        """One more place."""
        inside = self._inside[key] = self._inside.get(key, 0) + 1
        if inside > self._peak.get(key, 0.0):
            self._peak[key] = float(inside)

    def leave(self, key: str) -> None:
        """One place less."""
        self._inside[key] -= 1

    def fade(self, kept: float, going: float) -> None:
        """Time passes: this part of each key's peak is still remembered, and `going` is the part
        of all answers that would still be under way."""
        self._asked = {
            key: left for key, asked in self._asked.items() if (left := asked * going) >= 0.5
        }
        self._peak = {
            key: faded
            for key, peak in self._peak.items()
            if (faded := max(peak * kept, float(self._inside.get(key, 0)))) >= 0.5
        }
        self._inside = {key: count for key, count in self._inside.items() if count}

    def may(self, key: str, free: int, places: int) -> bool:
        """Whether a key may have one of `free` of all `places`."""
        others = len(self._peak) - (key in self._peak)
        if not others:
            return free > 0
        share = places / (others + 1)
        chance = share + _DEVIATIONS * math.sqrt(share)
        if self._inside.get(key, 0) < share or self._asked.get(key, 0.0) <= chance:
            return free > 0
        return free > self._kept_from((key,), share)

    def most(self, key: str, places: int) -> float:
        """Places that a key has in the long run, while the others come as they lately did."""
        others = [peak for other, peak in self._peak.items() if other != key]
        share = places / (len(others) + 1)
        return max(share, places - sum(min(peak, share) for peak in others))

    def kept_here(self, hungry: Mapping[str, int], places: int) -> int:
        """Places to keep, of all `places`, although some wait for them.

        Args: `hungry` are their keys, with the places that each of them has elsewhere.
        """
        share = places / max(1, len(self._peak.keys() | hungry.keys()))
        if any(self._inside.get(key, 0) + inside < share for key, inside in hungry.items()):
            return 0
        return self._kept_from(hungry.keys(), share)

    def inside(self, key: str) -> int:
        """Places that a key has."""
        return self._inside.get(key, 0)

    def _kept_from(self, keys: Collection[str], share: float) -> int:
        """Places kept from these keys for the others, for none of them more than its `share`."""
        kept = 0
        for other, peak in self._peak.items():
            if other not in keys:
                kept += max(0, math.ceil(min(peak, share)) - self._inside.get(other, 0))
        return kept
