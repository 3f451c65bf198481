"""Some figures of docs/benchmarks.md as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.page.benchmarks import Benchmarks

OURS, OTHERS = "#2f6feb", "#b8c0cc"


def drawn(recorded: Benchmarks) -> str:
    """An SVG of four charts."""
    # Text stays text, and the same figures make the same file.
    style = mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "r1", "font.size": 9})
    with style:
        figure = Figure(figsize=(10, 5.6), facecolor="white", layout="constrained")
        (first, second), (third, fourth) = figure.subplots(2, 2)
        gateways = recorded.section("Gateways side by side").rows()
        names = [row[0] for row in gateways]
        _bars(first, "Gateways: 200-token streams, 16 users, tokens/s", names, _column(gateways, 3))
        _bars(second, "Gateways: short calls, 32 users, calls/s", names, _column(gateways, 2))
        _stack(third, recorded.section("The local stack beside vLLM's own server").rows())
        _overload(fourth, recorded.section("Overload").rows())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "scripts.page"})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _column(rows: Sequence[Sequence[str]], at: int) -> list[str]:
    return [row[at].partition(" ")[0] for row in rows]


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _framed(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", size=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _bars(axes: Axes, title: str, names: Sequence[str], values: Sequence[str]) -> None:
    _framed(axes, f"{title} (log scale)")
    colours = [OURS if name == "r1" else OTHERS for name in names]
    drawn = axes.barh(names, [_number(value) for value in values], color=colours, log=True)
    axes.bar_label(drawn, labels=list(values), padding=3)
    axes.invert_yaxis()
    axes.set_xlim(10, 1e6)


def _stack(axes: Axes, rows: Sequence[Sequence[str]]) -> None:
    _framed(axes, "Whole stack beside vLLM's own server, tokens/s")
    for name, shift, colour in (("bare", -0.2, OTHERS), ("r1", 0.2, OURS)):
        mine = [row for row in rows if row[1] == name]
        places = [at + shift for at in range(len(mine))]
        values = _column(mine, 2)
        label = "r1" if name == "r1" else "vLLM's own server"
        drawn = axes.bar(places, [_number(v) for v in values], 0.38, color=colour, label=label)
        axes.bar_label(drawn, labels=values, padding=2)
        axes.set_xticks(range(len(mine)), [row[0] for row in mine])
    axes.set_xlabel("users")
    axes.legend(frameon=False, loc="upper left")
    axes.margins(y=0.15)


def _overload(axes: Axes, rows: Sequence[Sequence[str]]) -> None:
    _framed(axes, "Goodput under overload, calls/s")
    drawn = axes.bar([row[0] for row in rows], [_number(row[2]) for row in rows], color=OURS)
    axes.bar_label(drawn, labels=[row[2] for row in rows], padding=2)
    axes.set_xlabel("load, of what fits")
    axes.margins(y=0.15)
