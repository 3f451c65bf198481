"""The plots of a load, as SVG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from loadtests.bench.timeline import Timeline
from loadtests.users.kinds import UNRULY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadtests.client.call import Call

_MOST_POINTS = 2000
_WINDOWS = {
    "r1_batch_window": "batch window",
    "r1_inflight_requests": "in flight at the gateway",
    "r1_queue_depth": "waiting at the gateway",
}


def draw(
    calls: Sequence[Call], samples: Mapping[str, Sequence[tuple[float, float]]]
) -> Iterator[tuple[str, str]]:
    """Titles and pictures.

    Raises:
        ImportError: matplotlib is not installed.
    """
    whole = [each for each in calls if each.completed and each.kind not in UNRULY]
    if whole:
        yield "How long answers took, and which share took no longer", _cdfs(whole)
    if calls:
        yield "Throughput over time", _throughput(Timeline.of(calls))
    if samples:
        yield "Batch window over time", _window(samples)


def _cdfs(calls: Sequence[Call]) -> str:
    figure = _figure()
    groups = (
        {"TTFT": [c.ttft for c in calls if c.first is not None], "E2EL": [c.e2el for c in calls]},
        {
            "ITL": [gap for c in calls for gap in c.gaps],
            "TPOT": [c.tpot for c in calls if c.tpot is not None],
        },
    )
    for place, group in enumerate(groups, 1):
        axes = figure.add_subplot(1, 2, place)
        for name, seconds in group.items():
            if seconds:
                axes.plot(*_steps(seconds), drawstyle="steps-post", label=name)
        axes.set(xscale="log", xlabel="milliseconds", ylabel="share of all", ylim=(0, 1.02))
        _dressed(axes)
    return _svg(figure)


def _steps(seconds: Sequence[float]) -> tuple[list[float], list[float]]:
    """Points of a distribution; of very many values some, the extremes among them."""
    ordered = sorted(seconds)
    count = min(len(ordered), _MOST_POINTS)
    places = [round(i * (len(ordered) - 1) / max(1, count - 1)) for i in range(count)]
    # A logarithm knows no 0.
    return (
        [max(ordered[p] * 1000, 1e-3) for p in places],
        [(p + 1) / len(ordered) for p in places],
    )


def _throughput(line: Timeline) -> str:
    figure = _figure()
    axes = figure.add_subplot(1, 2, 1)
    axes.plot(line.at, line.tokens, label="token events/s")
    axes.set(xlabel="seconds", ylim=(0, None))
    _dressed(axes)
    axes = figure.add_subplot(1, 2, 2)
    axes.plot(line.at, line.completed, label="whole answers/s")
    axes.plot(line.at, line.failed, color="tab:red", label="failures/s")
    axes.plot(line.at, line.running, color="0.6", label="calls in flight")
    axes.set(xlabel="seconds", ylim=(0, None))
    _dressed(axes)
    return _svg(figure)


def _window(samples: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    figure = _figure()
    axes = figure.add_subplot()
    for name, points in samples.items():
        axes.plot(*zip(*points, strict=True), label=_WINDOWS[name])
    axes.set(xlabel="seconds", ylim=(0, None))
    _dressed(axes)
    return _svg(figure)


def _figure() -> Any:
    # Imported here: it takes a second, and a load without a page does not need it.
    from matplotlib.figure import Figure

    return Figure(figsize=(11, 3.6), layout="constrained")


def _dressed(axes: Any) -> None:
    axes.grid(visible=True, alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small")


def _svg(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
