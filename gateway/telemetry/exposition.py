"""All workers' sheets together, as text for Prometheus: its own format, or OpenMetrics.

https://prometheus.io/docs/instrumenting/exposition_formats, and the specification of OpenMetrics
1.0, which differs here in the names of counters and in the last line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from gateway.telemetry import exemplars as ex
from gateway.telemetry.exemplars import Exemplar
from gateway.telemetry.families import TIME, Across, Family, bounds_of
from gateway.telemetry.sheet import Cell

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Samples = Sequence[tuple[Cell, float]]
Fold = Callable[[Cell], Cell]
Exemplars = Mapping[Cell, Exemplar]
Labels = tuple[tuple[str, str], ...]


def media_type(accept: str) -> str:
    """The format to answer with, by the request's `accept`."""
    return OPENMETRICS if "application/openmetrics-text" in accept else PLAIN


def render(
    families: Sequence[Family],
    sheets: Iterable[Samples],
    *,
    fold: Fold = lambda cell: cell,
    form: str = PLAIN,
    exemplars: Iterable[tuple[Cell, Exemplar]] = (),
) -> str:
    """The text of all sheets together, in `form`, a media type.

    `fold` says where a cell is counted: several that it makes equal are one series. Of several
    `exemplars` of one bucket the last one is shown; only OpenMetrics knows them.
    """
    latest_exemplars = dict(sorted(exemplars, key=lambda each: each[1].at))
    joined: dict[Cell, list[tuple[float, float]]] = {}
    latest = {family.name for family in families if family.across == "latest"}
    for sheet in sheets:
        times = {cell: value for cell, value in sheet if cell.suffix == TIME}
        for cell, value in sheet:
            if cell.suffix == TIME or math.isnan(value):
                continue
            at = times.get(replace(cell, suffix=TIME), 0.0) if cell.family in latest else 0.0
            joined.setdefault(fold(cell), []).append((at, value))
    by_family: dict[str, list[tuple[Cell, list[tuple[float, float]]]]] = {}
    for cell, pairs in joined.items():
        by_family.setdefault(cell.family, []).append((cell, pairs))
    lines: list[str] = []
    for family in families:
        name = family.name.removesuffix("_total") if form == OPENMETRICS else family.name
        lines.append(f"# HELP {name} {family.help}")
        lines.append(f"# TYPE {name} {family.kind}")
        found = by_family.get(family.name, [])
        cells = [(cell, _join(pairs, family.across)) for cell, pairs in found]
        if family.kind == "histogram":
            lines.extend(_histogram_lines(family, cells, latest_exemplars))
        else:
            lines.extend(_line(family.name, cell.labels, value) for cell, value in cells)
    if form == OPENMETRICS:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _histogram_lines(family: Family, cells: Samples, exemplars: Exemplars) -> list[str]:
    series: dict[Labels, dict[str, float]] = {}
    sums: dict[Labels, float] = {}
    for cell, value in cells:
        if cell.suffix == "_sum":
            sums[cell.labels] = value
        else:
            *others, (_, bound) = cell.labels
            series.setdefault(tuple(others), {})[bound] = value
    lines = []
    bounds = bounds_of(family)
    for labels, buckets in series.items():
        total = 0.0
        for bound in bounds:
            total += buckets.get(bound, 0.0)
            all_labels = (*labels, ("le", bound))
            line = _line(family.name + "_bucket", all_labels, total)
            if exemplars:
                exemplar = exemplars.get(Cell(family.name, ex.SUFFIX, all_labels))
                line += "" if exemplar is None else ex.text(exemplar)
            lines.append(line)
        lines.append(_line(family.name + "_sum", labels, sums.get(labels, 0.0)))
        lines.append(_line(family.name + "_count", labels, total))
    return lines


def _join(values: list[tuple[float, float]], across: Across) -> float:
    """One value of pairs of time and value."""
    match across:
        case "latest":
            return max(values)[1]
        case "max":
            return max(value for _, value in values)
        case "min":
            return min(value for _, value in values)
        case "sum":
            return sum(value for _, value in values)


def _line(name: str, labels: Labels, value: float) -> str:
    return f"{name}{_text(labels)} {_number(value)}"


# Series stay, and what they are called is most of the work of a scrape.
@lru_cache(maxsize=2**16)
def _text(labels: Labels) -> str:
    text = ",".join(f'{label}="{_escape(given)}"' for label, given in labels)
    return f"{{{text}}}" if text else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
