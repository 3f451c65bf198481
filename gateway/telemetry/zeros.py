"""Counts that begin at zero before anything is counted, so that the first fault is a rise.

Prometheus takes a series that is new for one that was always as it is: an alert that looks at how
much a count has risen would miss all that happened before the first scrape.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.telemetry.families import Family, Meter

FAULTY_CODES = ("500", "502", "503", "504")
FAULTY_ENDINGS = (
    *("internal_error", "overloaded", "shutting_down", "store_unavailable", "unknown"),
    *("upstream_busy", "upstream_error", "upstream_lost", "upstream_timeout"),
    "upstream_unavailable",
)
"""The endings of streams that are the platform's fault (deploy/observability/slos.yaml)."""
CANARY_OUTCOMES = ("right", "wrong", "disputed", "alone", "failed")
RELOAD_RESULTS = ("ok", "refused", "failed")


class Zeros:
    """Makes the series of counters on one sheet before they count, each group once."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._made: set[tuple[str, ...]] = set()

    def begin(self, family: Family, *labels: str, values: Sequence[str]) -> None:
        """The series with these labels, and each of `values` for the last one, are there."""
        key = (family.name, *labels)
        if key not in self._made:
            self._made.add(key)
            for value in values:
                self._meter.number(family, *labels, value)
