"""One picture for each dashboard, laid out as on the dashboard."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.observability.dashboards.reading import Times
from scripts.observability.sheet.draw import DRAW, INK, PALE, PAPER
from scripts.observability.sheet.fetch import Series, Source

_COLUMNS = 24
_CELL_IN = (0.72, 0.4)
"""Inches of one cell of Grafana's grid."""
_HEAD_IN = 0.5
_INSTANT = ("bargauge", "table")


def sheet(boards: Path, source: Source, times: Times, out: Path) -> Iterator[Path]:
    """Draw every dashboard of a folder into `out`; yields the pictures' paths as they are made."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(boards.glob("*.json")):
        board = json.loads(path.read_text("utf-8"))
        picture = out / f"{board['uid']}.png"
        _drawn(board, source, times).savefig(picture, dpi=80)
        yield picture


def _drawn(board: Mapping[str, Any], source: Source, times: Times) -> Figure:
    panels = board["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = _COLUMNS * _CELL_IN[0], rows * _CELL_IN[1] + _HEAD_IN
    figure = Figure(figsize=(width, height), facecolor="#111217")
    figure.text(0.2 / width, 1 - 0.3 / height, board["title"], size=16, color=INK, weight="bold")
    for panel in panels:
        place = panel["gridPos"]
        left, wide = place["x"] / _COLUMNS, place["w"] / _COLUMNS
        top = 1 - (_HEAD_IN + place["y"] * _CELL_IN[1]) / height
        tall = place["h"] * _CELL_IN[1] / height
        if panel["type"] == "row":
            figure.text(left + 0.2 / width, top - 0.7 * tall, panel["title"], size=12, color=INK)
            continue
        _framed(figure, panel, (left, top - tall, wide, tall))
        margins = _margins(panel["type"], place["h"])
        axes = figure.add_axes(
            (
                left + margins[0] / width,
                top - tall + margins[1] / height,
                wide - (margins[0] + margins[2]) / width,
                tall - (margins[1] + margins[3]) / height,
            ),
            facecolor=PAPER,
        )
        _panel(axes, panel, source, times)
    return figure


def _framed(figure: Figure, panel: Mapping[str, Any], box: tuple[float, ...]) -> None:
    left, low, wide, tall = box
    width, height = figure.get_size_inches()
    gap = 0.05 / width, 0.05 / height
    frame = figure.add_axes((left + gap[0], low + gap[1], wide - 2 * gap[0], tall - 2 * gap[1]))
    frame.set_facecolor(PAPER)
    frame.set(xticks=[], yticks=[])
    for spine in frame.spines.values():
        spine.set_color("#2c3235")
    room = int(wide * width * 15)
    figure.text(left + 0.15 / width, low + tall - 0.24 / height, panel["title"], size=10, color=INK)
    said = textwrap.shorten(panel.get("description", ""), room, placeholder=" …")
    figure.text(left + 0.15 / width, low + tall - 0.4 / height, said, size=6, color=PALE)


def _margins(kind: str, rows: int) -> tuple[float, float, float, float]:
    """Inches left, below, right and above of what is drawn."""
    if kind == "timeseries":
        return 0.75, 0.45 * rows * _CELL_IN[1], 0.2, 0.5
    if kind in ("bargauge", "state-timeline"):
        return 2.3, 0.3, 0.2, 0.5
    if kind == "heatmap":
        return 0.8, 0.35, 0.2, 0.5
    return 0.2, 0.15, 0.2, 0.45


def _panel(axes: Axes, panel: Mapping[str, Any], source: Source, times: Times) -> None:
    axes.tick_params(colors=PALE, labelsize=7)
    for spine in axes.spines.values():
        spine.set_visible(False)
    found = _series(panel, source, times)
    if found or panel["type"] == "text":
        DRAW[panel["type"]](axes, panel, found)
    else:
        axes.axis("off")
        reads = panel.get("datasource", {}).get("type", "")
        word = "no data" if reads == "prometheus" else f"(needs {reads})"
        axes.text(0.5, 0.5, word, size=14, color=PALE, ha="center", va="center")


def _series(panel: Mapping[str, Any], source: Source, times: Times) -> list[Series]:
    if panel.get("datasource", {}).get("type") != "prometheus":
        return []
    ask = source.now if panel["type"] in _INSTANT else source.lines
    return [
        series
        for target in panel["targets"]
        for series in ask(times.filled(target["expr"]), target.get("legendFormat", ""))
    ]
