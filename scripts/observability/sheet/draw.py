"""Panels drawn by matplotlib, near enough to Grafana's to judge them by."""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from scripts.observability.sheet.fetch import Series
from scripts.observability.sheet.units import written

INK, PALE, PAPER = "#d8d9da", "#8e8e8e", "#181b1f"
COLORS = {
    "green": "#56a64b",
    "yellow": "#e0b400",
    "red": "#e02f44",
    "blue": "#3274d9",
    "gray": "#6e6e6e",
}
LINES = (
    "#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#c4162a",
    "#96d98d", "#ffee52",
)  # fmt: skip
_NAMES = 8
"""Names in a legend; Grafana scrolls."""


def lines(axes: Axes, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    """Lines, or areas on top of one another, above their legend."""
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    unit = defaults.get("unit", "short")
    top = max(map(_most, found), default=1)
    if custom.get("stacking", {}).get("mode") == "normal":
        top = _stacked(axes, found)
    else:
        for number, series in enumerate(found):
            at, values = zip(*series.points, strict=True)
            axes.plot(at, values, color=_line(number), linewidth=1.4)
    steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    if custom.get("thresholdsStyle", {}).get("mode") == "dashed":
        for step in steps:
            axes.axhline(step["value"], color=COLORS[step["color"]], linestyle="--", linewidth=0.8)
    axes.set_ylim(0, defaults.get("max") or top * 1.1 or 1)
    axes.yaxis.set_major_formatter(lambda value, _: written(value, unit))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(_clock)
    axes.grid(color="#2c3235", linewidth=0.5)
    _legend(axes, found, unit)


def stat(axes: Axes, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    """Large values on their colours."""
    axes.axis("off")
    defaults = panel["fieldConfig"]["defaults"]
    colored = panel["options"]["colorMode"] != "none"
    for number, series in enumerate(found):
        left = number / len(found)
        color, text = _meaning(series.last, defaults)
        if series.name in _plain(panel):
            color = "blue"
        back = COLORS[color] if colored else PAPER
        axes.add_patch(Rectangle((left, 0), 1 / len(found), 1, color=back))
        middle = left + 0.5 / len(found)
        size = 26 if len(found) == 1 else 17
        centered: dict[str, Any] = {"ha": "center", "va": "center", "weight": "bold"}
        axes.text(middle, 0.5, text, size=size, color="white", **centered)
        if panel["options"]["textMode"] == "value_and_name":
            axes.text(middle, 0.14, series.name, size=9, color="white", ha="center")
    axes.set(xlim=(0, 1), ylim=(0, 1))


def bars(axes: Axes, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    """A bar for each series with its value."""
    defaults = panel["fieldConfig"]["defaults"]
    shown = found[: 2 * _NAMES]
    most = defaults.get("max") or max((series.last for series in shown), default=1) or 1
    for number, series in enumerate(shown):
        color, text = _meaning(series.last, defaults)
        axes.barh(number, series.last, color=COLORS[color], height=0.6)
        axes.text(most * 1.02, number, text, size=8, color=INK, va="center")
    axes.set_yticks(range(len(shown)), [series.name[:34] for series in shown])
    axes.set(xlim=(0, most * 1.25), ylim=(len(shown) - 0.4, -0.6))
    axes.set_xticks([])


def heatmap(axes: Axes, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    """How many of each bucket, by time: Prometheus' buckets are cumulated."""
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    rising = sorted(found, key=lambda series: float(series.labels["le"]))
    times = sorted({at for series in rising for at, _ in series.points})
    cells = numpy.zeros((len(rising), len(times)))
    for number, series in enumerate(rising):
        values = dict(series.points)
        cells[number] = [values.get(at, 0.0) for at in times]
    cells = numpy.clip(numpy.diff(cells, axis=0, prepend=0), 0, None)
    axes.imshow(
        numpy.where(cells > 0, cells, numpy.nan),
        aspect="auto",
        origin="lower",
        cmap="Oranges",
        extent=(times[0], times[-1] + 1e-3, -0.5, len(rising) - 0.5),
    )
    every = max(1, len(rising) // 8)
    named = [(row, series.labels["le"]) for row, series in enumerate(rising)][::every]
    names = ["∞" if le == "+Inf" else written(float(le), unit) for _, le in named]
    axes.set_yticks([row for row, _ in named], names)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(_clock)


def states(axes: Axes, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    """A line of colours for each series."""
    defaults = panel["fieldConfig"]["defaults"]
    for number, series in enumerate(found):
        at = [begin for begin, _ in series.points]
        ends = [*at[1:], at[-1] + (at[-1] - at[0]) / max(1, len(at) - 1)]
        for begin, end, (_, value) in zip(at, ends, series.points, strict=True):
            color, _ = _meaning(value, defaults)
            axes.barh(number, end - begin, left=begin, color=COLORS[color], height=0.8)
    axes.set_yticks(range(len(found)), [series.name[:34] for series in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(_clock)


def table(axes: Axes, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    """Labels of each series, a line each."""
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    axes.axis("off")
    for number, series in enumerate(found[:_NAMES]):
        shown = {key: value for key, value in series.labels.items() if not hidden.get(key)}
        text = "   ".join(f"{key}: {value}" for key, value in shown.items())
        axes.text(0, 0.95 - number * 0.11, text[:190], size=8, color=INK, va="top")


def text(axes: Axes, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    """A panel's words."""
    del found
    axes.axis("off")
    paragraphs = panel["options"]["content"].split("\n\n")
    whole = "\n\n".join(textwrap.fill(" ".join(each.split()), 88) for each in paragraphs)
    axes.text(0, 1, whole, size=8, color=INK, va="top")


DRAW: Mapping[str, Callable[[Axes, Mapping[str, Any], Sequence[Series]], None]] = {
    "timeseries": lines,
    "stat": stat,
    "bargauge": bars,
    "heatmap": heatmap,
    "state-timeline": states,
    "table": table,
    "text": text,
}


def _stacked(axes: Axes, found: Sequence[Series]) -> float:
    """Draw areas; return how high they reach."""
    times = sorted({at for series in found for at, _ in series.points})
    rows = numpy.nan_to_num(
        [[dict(series.points).get(at, 0.0) for at in times] for series in found]
    )
    colors = [_line(number) for number in range(len(found))]
    axes.stackplot(times, rows, colors=colors, alpha=0.6)
    return float(rows.sum(axis=0).max())


def _legend(axes: Axes, found: Sequence[Series], unit: str) -> None:
    """Names with last and largest values, the largest first, as the dashboards ask for."""
    # Of the axes' own height: a legend keeps its size below a low panel.
    inch = 1 / (axes.bbox.height / axes.figure.dpi)
    place: dict[str, Any] = {"size": 7, "va": "top", "transform": axes.transAxes}
    for left, word in ((0.82, "last"), (1, "max")):
        axes.text(left, -0.19 * inch, word, color=PALE, ha="right", **place)
    order = sorted(enumerate(found), key=lambda numbered: _most(numbered[1]), reverse=True)
    for line, (number, series) in enumerate(order[:_NAMES]):
        low = -(0.32 + 0.12 * line) * inch
        axes.text(0, low, "━", color=_line(number), **place)
        axes.text(0.04, low, series.name[:44], color=INK, **place)
        axes.text(0.82, low, written(series.last, unit), color=INK, ha="right", **place)
        axes.text(1, low, written(_most(series), unit), color=INK, ha="right", **place)
    if len(order) > _NAMES:
        more = f"and {len(order) - _NAMES} more"
        axes.text(0.04, -(0.32 + 0.12 * _NAMES) * inch, more, color=PALE, **place)


def _most(series: Series) -> float:
    return max((value for _, value in series.points if not math.isnan(value)), default=0.0)


def _meaning(value: float, defaults: Mapping[str, Any]) -> tuple[str, str]:
    """The colour and the words of a value."""
    for mapping in defaults.get("mappings") or ():
        named = mapping["options"].get(f"{value:.0f}")
        if named:
            return named["color"], named["text"]
    color = "green"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    decimals = defaults.get("decimals")
    unit = defaults.get("unit", "short")
    return color, written(value if decimals is None else round(value, int(decimals)), unit)


def _plain(panel: Mapping[str, Any]) -> set[str]:
    """Names of the series that have a fixed colour."""
    return {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}


def _line(number: int) -> str:
    return LINES[number % len(LINES)]


def _clock(at: float, _: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
