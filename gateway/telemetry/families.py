"""Counters, gauges and histograms on a sheet."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from gateway.telemetry import exemplars
from gateway.telemetry.sheet import Cell, Sheet
from gateway.telemetry.trace import Trace

Kind = Literal["counter", "gauge", "histogram"]
Across = Literal["sum", "max", "min", "latest"]
"""How workers' values join: `latest` is the one that was set last, by whichever of them."""

TIME = "_at"
"""Suffix of the cell with the time at which a `latest` value was set."""

UNKNOWN = math.nan
"""The value of a gauge that a worker knows nothing of: the others' hold, or it isn't shown."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, what it says, its labels, and how workers' values join."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    across: Across = "sum"


class Number:
    """One series of a counter or gauge."""

    __slots__ = ("_index", "_values")

    def __init__(self, sheet: Sheet, cell: Cell) -> None:
        self._values = sheet.values
        self._index = sheet.place(cell)

    def add(self, amount: float = 1.0) -> None:
        """Add `amount`."""
        self._values[self._index] += amount

    def set(self, value: float) -> None:
        """Replace the value (gauges)."""
        self._values[self._index] = value


class Latest(Number):
    """One series of a gauge whose last value counts, whichever worker set it."""

    __slots__ = ("_now", "_time")

    def __init__(self, sheet: Sheet, cell: Cell, now: Callable[[], float]) -> None:
        self._time = sheet.place(Cell(cell.family, TIME, cell.labels))
        super().__init__(sheet, cell)
        self._now = now

    def set(self, value: float) -> None:
        """Replace the value, and the time."""
        super().set(value)
        self._values[self._time] = self._now()


class Distribution:
    """One series of a histogram. Bucket counts are cumulated when they are read."""

    __slots__ = ("_bounds", "_family", "_labels", "_places", "_sheet", "_sum", "_values", "_wall")

    def __init__(
        self,
        sheet: Sheet,
        family: Family,
        labels: tuple[tuple[str, str], ...],
        wall: Callable[[], float],
    ) -> None:
        self._sheet = sheet
        self._family = family
        self._labels = labels
        self._wall = wall
        self._values = sheet.values
        self._bounds = family.buckets
        self._places = [
            sheet.place(Cell(family.name, "_bucket", (*labels, ("le", bound))))
            for bound in bounds_of(family)
        ]
        self._sum = sheet.place(Cell(family.name, "_sum", labels))

    def observe(self, value: float, times: int = 1, trace: Trace | None = None) -> None:
        """Count `value`, `times` times; `trace` is one that somebody records."""
        place = bisect_left(self._bounds, value)
        self._values[self._places[place]] += times
        self._values[self._sum] += value * times
        if trace is not None:
            labels = (*self._labels, ("le", bounds_of(self._family)[place]))
            cell = Cell(self._family.name, exemplars.SUFFIX, labels)
            self._sheet.point(cell, exemplars.of(trace, value, self._wall()))


class Meter:
    """Makes the series of families on one sheet, each once."""

    def __init__(
        self,
        sheet: Sheet,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Args: `now` is a clock that all workers share; `wall` gives Unix time."""
        self._sheet = sheet
        self._now = now
        self._wall = wall
        self._numbers: dict[tuple[str, tuple[str, ...]], Number] = {}
        self._distributions: dict[tuple[str, tuple[str, ...]], Distribution] = {}

    def number(self, family: Family, *labels: str) -> Number:
        """The series of a counter or gauge with these label values."""
        key = (family.name, labels)
        found = self._numbers.get(key)
        if found is None:
            cell = Cell(family.name, "", tuple(zip(family.labels, labels, strict=True)))
            if family.across == "latest":
                found = Latest(self._sheet, cell, self._now)
            else:
                found = Number(self._sheet, cell)
            self._numbers[key] = found
        return found

    def distribution(self, family: Family, *labels: str) -> Distribution:
        """The series of a histogram with these label values."""
        key = (family.name, labels)
        found = self._distributions.get(key)
        if found is None:
            pairs = tuple(zip(family.labels, labels, strict=True))
            found = self._distributions[key] = Distribution(self._sheet, family, pairs, self._wall)
        return found

    def known(self, family: Family, label: str) -> set[str]:
        """The values that a label of `family` has on this sheet."""
        cells = [cell for cell, _ in self._sheet.cells() if cell.family == family.name]
        return {dict(cell.labels)[label] for cell in cells}

    def reset_gauges(self, families: Iterable[Family]) -> None:
        """Forget what a worker that died said: what it had in flight is gone, the rest unknown."""
        gauges = {family.name: family for family in families if family.kind == "gauge"}
        for cell, index in self._sheet.cells():
            if cell.family in gauges:
                summed = gauges[cell.family].across == "sum"
                self._sheet.values[index] = 0.0 if summed else UNKNOWN


def bounds_of(family: Family) -> list[str]:
    """The upper bounds of a histogram's buckets, as OpenMetrics wants numbers there."""
    return [*(repr(float(bound)) for bound in family.buckets), "+Inf"]
