"""What a dashboard is made of, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["lines", "stack", "stat", "bars", "heatmap", "states", "table", "text", "logs"]
"""How a panel is drawn: `bars` are bar gauges, `states` a line of colours for each series."""

Source = Literal["prometheus", "loki"]

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
WIDTH = 24
"""Columns of Grafana's grid."""


@dataclass(frozen=True, slots=True)
class Step:
    """The colour of values from `value` on."""

    value: float | str | None
    """A number, the name of one in deploy/observability/defaults.yaml, or None for the lowest."""
    color: str


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel and the name of its series; `legend` may use `{{label}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `about` says what it means, what is healthy and where to look next."""

    title: str
    about: str
    unit: str = "short"
    """One of Grafana's, https://github.com/grafana/grafana/blob/main/packages/grafana-data/src/valueFormats/categories.ts"""
    queries: tuple[Query, ...] = ()
    kind: Kind = "lines"
    width: int = 8
    height: int = 8
    steps: tuple[Step, ...] = ()
    """Colours by value; lines show them as dashes where there are any."""
    highest: float | None = None
    """Top of the axis, where the values have one."""
    decimals: int | None = None
    plain: tuple[str, ...] = ()
    """Series that have no good and bad, by their names, among others that have."""
    names: tuple[tuple[int, str, str], ...] = ()
    """Value, name and colour, for values that are states."""
    content: str = ""
    """Markdown of a text."""
    board: str = ""
    """Uid of the dashboard with the details, one click away."""
    source: Source = "prometheus"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below one headline."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    instances: str = "r1_inflight_requests"
    """The series whose `instance` is offered to choose from."""
    logs: bool = False
    """Whether it reads logs too."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in the order of reading."""
        return tuple(panel for row in self.rows for panel in row.panels)
