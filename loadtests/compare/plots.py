"""A case as a picture: a panel a figure, a dot a server, its range as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from loadtests.compare.report import Section

OURS, OTHERS = "#c2410c", "#475569"
_WIDE = 20
"""Times the smallest value from which on an axis is logarithmic."""


def draw(section: Section, path: Path) -> None:
    """Write the picture as SVG, the same one for the same figures.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": section.name, "font.size": 8}):
        panels = section.figures
        height = 0.5 + 0.28 * len(section.servers)
        canvas = Canvas(figsize=(2.6 * len(panels), height + 0.4), layout="constrained")
        canvas.suptitle(section.title, fontsize=9)
        axes = canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, figure in zip(axes, panels, strict=True):
            for place, server in enumerate(section.servers):
                found = section.samples.summary(server, figure)
                if found is None:
                    axis.text(0.02, place, "–", transform=axis.get_yaxis_transform(), va="center")
                    continue
                colour = OURS if server.startswith(section.ours) else OTHERS
                spread = [[found.median - found.low], [found.high - found.median]]
                axis.errorbar(found.median, place, xerr=spread, fmt="o", ms=4, color=colour)
            values = [
                each.median
                for server in section.servers
                if (each := section.samples.summary(server, figure)) and each.median > 0
            ]
            if values and max(values) > _WIDE * min(values):
                axis.set_xscale("log")
                axis.xaxis.set_major_formatter("{x:g}")
                axis.minorticks_off()
            else:
                axis.set_xlim(0, 1.1 * max(values, default=1.0))
            axis.grid(axis="y", color="#e2e8f0")
            axis.set_title(figure.title, fontsize=8)
            axis.set_yticks(range(len(section.servers)), section.servers)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].invert_yaxis()
        canvas.savefig(path, metadata={"Date": None})
