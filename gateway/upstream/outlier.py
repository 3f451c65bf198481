"""Which upstream fails so much more than the others that it is better left alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

_HALF_LIFE_S = 10.0
_ENOUGH = 10.0
"""Attempts below which a share of failures says nothing."""


class Record:
    """Attempts and failures at one upstream, the older the less they count (half after 10 s)."""

    __slots__ = ("_at", "attempts", "failures")

    def __init__(self) -> None:
        self._at = 0.0
        self.attempts = 0.0
        self.failures = 0.0

    def add(self, now: float, *, failed: bool) -> None:
        """An attempt ended at `now`, in seconds of a clock that doesn't go back."""
        kept = 0.5 ** ((now - self._at) / _HALF_LIFE_S)
        self._at = now
        self.attempts = self.attempts * kept + 1.0
        self.failures = self.failures * kept + failed

    @property
    def share(self) -> float:
        """Of attempts that failed."""
        return self.failures / self.attempts if self.attempts else 0.0


def stands_out(record: Record, others: Sequence[Record], gap: float) -> bool:
    """Whether the share of failures is `gap` or more above the others' median.

    Where all fail alike the cause is not in one of them, and leaving one out would not help.
    """
    shares = [each.share for each in others if each.attempts]
    if record.attempts < _ENOUGH or not shares:
        return False
    return record.share - median(shares) >= gap
