"""A course over time, drawn with characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS, _ROWS = 72, 10


def draw(course: Sequence[tuple[float, float]]) -> str:
    """Pairs of time and value as rows of text: each column has the mean of its time."""
    if not course:
        return ""
    width = min(_COLUMNS, len(course))
    means = []
    for column in range(width):
        part = course[column * len(course) // width : (column + 1) * len(course) // width]
        means.append(sum(value for _, value in part) / len(part))
    top = max(means) or 1.0
    lines = []
    for place in range(_ROWS, 0, -1):
        mark = top * place / _ROWS
        cells = "".join("█" if mean > mark - top / _ROWS / 2 else " " for mean in means)
        lines.append(f"{mark:6.0f} ┤{cells.rstrip()}")
    last = f"{course[-1][0]:.0f}"
    lines.append(" " * 7 + "0" + last.rjust(width))
    return "\n".join(lines)
