"""The figures of fleets as pictures: goodput, TTFT, cost and fairness of each gateway."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from r1.fleet.scale.ledger import Figures
    from r1.fleet.scale.play import Played

_BARS: tuple[tuple[str, str, bool, Callable[[Figures], float]], ...] = (
    ("goodput", "tokens/s of good answers", True, lambda figures: figures.goodput),
    ("ttft", "TTFT p99, s", True, lambda figures: figures.ttft_s),
    ("cost", "USD a million good tokens", True, lambda figures: figures.usd_per_million),
    ("fairness", "Jain's index over tenants", False, lambda figures: figures.fairness),
)


def plot(groups: Sequence[Mapping[str, Played]], folder: Path) -> Iterator[Path]:
    """Write one SVG for each figure and one for each scenario's course; their paths.

    Raises ImportError where matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    for name, label, logarithmic, of in _BARS:
        drawing = Figure(figsize=(10, 1.5 + 0.45 * len(groups)), layout="constrained")
        axes = drawing.subplots()
        for place, policy in enumerate(groups[0]):
            values = [of(group[policy].figures) for group in groups]
            rows = [number + 0.27 * place for number in range(len(groups))]
            shown = [value if math.isfinite(value) else 0.0 for value in values]
            axes.barh(rows, shown, height=0.25, label=policy)
        axes.set_yticks(
            [number + 0.27 for number in range(len(groups))],
            [group["r1"].scenario.name for group in groups],
        )
        axes.invert_yaxis()
        axes.set_xlabel(label)
        if logarithmic:
            axes.set_xscale("log")
        axes.legend()
        drawing.savefig(path := folder / f"{name}.svg")
        yield path
    for group in groups:
        drawing = Figure(figsize=(8, 3), layout="constrained")
        axes = drawing.subplots()
        for policy, played in group.items():
            times = [when for when, _ in played.figures.course]
            axes.plot(times, [share for _, share in played.figures.course], label=policy)
        scenario = group["r1"].scenario
        for event in scenario.events:
            axes.axvline(event.at_s, color="grey", linestyle=":")
        axes.set_title(scenario.name)
        axes.set_xlabel("time of the question, s")
        axes.set_ylabel("share of good answers")
        axes.set_ylim(-0.05, 1.05)
        axes.legend()
        name = "".join(each if each.isalnum() else "-" for each in scenario.name)
        drawing.savefig(path := folder / f"course-{name}.svg")
        yield path
