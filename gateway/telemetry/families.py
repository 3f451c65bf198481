"""Counters, gauges and histograms on a sheet, and their text for Prometheus."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.telemetry.sheet import Cell, Sheet

Kind = Literal["counter", "gauge", "histogram"]
Across = Literal["sum", "max", "min"]

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


class Distribution:
    """One series of a histogram. Bucket counts are cumulated when they are read."""

    __slots__ = ("_bounds", "_first", "_sum", "_values")

    def __init__(self, sheet: Sheet, family: Family, labels: tuple[tuple[str, str], ...]) -> None:
        self._values = sheet.values
        self._bounds = family.buckets
        bounds = [*(format_number(bound) for bound in family.buckets), "+Inf"]
        places = [
            sheet.place(Cell(family.name, "_bucket", (*labels, ("le", bound)))) for bound in bounds
        ]
        self._first = places
        self._sum = sheet.place(Cell(family.name, "_sum", labels))

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value`, `times` times."""
        self._values[self._first[bisect_left(self._bounds, value)]] += times
        self._values[self._sum] += value * times


class Meter:
    """Makes the series of families on one sheet, each once."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._numbers: dict[tuple[str, tuple[str, ...]], Number] = {}
        self._distributions: dict[tuple[str, tuple[str, ...]], Distribution] = {}

    def number(self, family: Family, *labels: str) -> Number:
        """The series of a counter or gauge with these label values."""
        key = (family.name, labels)
        found = self._numbers.get(key)
        if found is None:
            cell = Cell(family.name, "", tuple(zip(family.labels, labels, strict=True)))
            found = self._numbers[key] = Number(self._sheet, cell)
        return found

    def distribution(self, family: Family, *labels: str) -> Distribution:
        """The series of a histogram with these label values."""
        key = (family.name, labels)
        found = self._distributions.get(key)
        if found is None:
            pairs = tuple(zip(family.labels, labels, strict=True))
            found = self._distributions[key] = Distribution(self._sheet, family, pairs)
        return found

    def reset_gauges(self, families: Iterable[Family]) -> None:
        """Forget what a worker that died said: what it had in flight is gone, the rest unknown."""
        gauges = {family.name: family for family in families if family.kind == "gauge"}
        for cell, index in self._sheet.cells():
            if cell.family in gauges:
                summed = gauges[cell.family].across == "sum"
                self._sheet.values[index] = 0.0 if summed else UNKNOWN


def render(families: Sequence[Family], sheets: Iterable[Sequence[tuple[Cell, float]]]) -> str:
    """Prometheus' text format of all sheets together."""
    joined: dict[Cell, list[float]] = {}
    for sheet in sheets:
        for cell, value in sheet:
            if not math.isnan(value):
                joined.setdefault(cell, []).append(value)
    by_family: dict[str, list[tuple[Cell, list[float]]]] = {}
    for cell, values in joined.items():
        by_family.setdefault(cell.family, []).append((cell, values))
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        cells = by_family.get(family.name, [])
        if family.kind == "histogram":
            lines.extend(_histogram_lines(family, cells))
        else:
            for cell, values in cells:
                lines.append(_line(family.name, cell.labels, _join(values, family.across)))
    return "\n".join(lines) + "\n"


def format_number(value: float) -> str:
    """A number as Prometheus writes it."""
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)


def _histogram_lines(family: Family, cells: list[tuple[Cell, list[float]]]) -> list[str]:
    series: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for cell, values in cells:
        if cell.suffix == "_sum":
            sums[cell.labels] = sum(values)
        else:
            *others, (_, bound) = cell.labels
            series.setdefault(tuple(others), {})[bound] = sum(values)
    lines = []
    for labels, buckets in series.items():
        total = 0.0
        for bound in [*(format_number(bound) for bound in family.buckets), "+Inf"]:
            total += buckets.get(bound, 0.0)
            lines.append(_line(family.name + "_bucket", (*labels, ("le", bound)), total))
        lines.append(_line(family.name + "_sum", labels, sums.get(labels, 0.0)))
        lines.append(_line(family.name + "_count", labels, total))
    return lines


def _join(values: list[float], across: Across) -> float:
    if across == "max":
        return max(values)
    return min(values) if across == "min" else sum(values)


def _line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    text = ",".join(f'{label}="{_escape(given)}"' for label, given in labels)
    return f"{name}{{{text}}} {format_number(value)}" if text else f"{name} {format_number(value)}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
