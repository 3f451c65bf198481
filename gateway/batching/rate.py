"""Rates that forget. Pure."""

from __future__ import annotations

import math


class Rate:
    """Events a second, over about the last `memory_s` seconds."""

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._weight = 0.0
        self._seconds = 0.0
        self._fresh = 0

    def count(self) -> None:
        """One event."""
        self._fresh += 1

    def passed(self, seconds: float) -> None:
        """So much time is over."""
        kept = math.exp(-seconds / self._memory_s)
        self._weight = self._weight * kept + self._fresh
        self._seconds = self._seconds * kept + seconds
        self._fresh = 0

    @property
    def value(self) -> float:
        """Events a second; 0 before any time has passed."""
        return self._weight / self._seconds if self._seconds else 0.0
