"""What a user gets against what a GPU gives: the trade that batching makes, and its plot."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from serving.plan.assess import Assessment
from serving.plan.load import Load
from serving.plan.outlook import outlook

STEP = 1.5
"""From one number of users to the next."""


@dataclass(frozen=True, slots=True)
class Point:
    """One way under one load."""

    name: str
    users: float
    """In flight at one replica."""
    per_user: float
    """Output tokens a second that a user sees."""
    per_gpu: float
    """Output tokens a second of each GPU."""


def curve(way: Assessment, load: Load) -> list[Point]:
    """The points of a way from one user up to as many as its KV cache holds."""
    group = way.group
    if group is None:
        return []
    most = group.most_sequences(load.context) * group.layout.data
    points, users = [], 1.0
    while True:
        users = min(users, most)
        seen = outlook(group, replace(load, users=users, requests_per_s=None))
        if seen is not None:
            points.append(
                Point(
                    way.candidate.name,
                    users,
                    seen.tokens_per_s_per_user,
                    seen.tokens_per_s / group.layout.devices,
                )
            )
        if users >= most:
            return points
        users *= STEP


def frontier(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both figures, the most per user first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (-each.per_user, -each.per_gpu)):
        if not best or point.per_gpu > best[-1].per_gpu:
            best.append(point)
    return best


def draw(curves: Sequence[Sequence[Point]], title: str, path: Path, chosen: Point | None) -> None:
    """Write the plot; the ending of `path` gives its format, .png or .svg.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: matplotlib knows no such format.
    """
    # Imported here: nothing else of a plan needs it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for points in curves:
        axes.plot(
            [each.per_user for each in points],
            [each.per_gpu for each in points],
            linewidth=1,
            label=points[0].name,
        )
    best = frontier([each for points in curves for each in points])
    axes.plot(
        [each.per_user for each in best],
        [each.per_gpu for each in best],
        linestyle="none",
        marker=".",
        color="black",
        label="none is better in both",
    )
    if chosen is not None:
        axes.plot(
            chosen.per_user,
            chosen.per_gpu,
            marker="*",
            markersize=14,
            color="red",
            label="the plan",
        )
    axes.set_xlabel("tokens/s a user")
    axes.set_ylabel("tokens/s a GPU")
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
