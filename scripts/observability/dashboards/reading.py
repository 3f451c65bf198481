"""The queries of rendered dashboards, as Grafana would send them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHOICES = {"namespace": ".*", "model": ".*", "instance": ".*"}
"""All of everything."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of a dashboard: a panel's, an annotation's (`kind` is that) or a variable's."""

    board: str
    title: str
    kind: str
    expr: str


@dataclass(frozen=True, slots=True)
class Times:
    """What Grafana puts in place of its own variables, as PromQL's durations."""

    rate_interval: str = "1m"
    interval: str = "15s"
    range: str = "1h"

    def filled(self, expr: str, choices: Mapping[str, str] = CHOICES) -> str:
        """Return `expr` with these times and a dashboard's choices in it."""
        places = {
            "__rate_interval": self.rate_interval,
            "__interval": self.interval,
            "__range": self.range,
            **choices,
        }
        # The longest first: one name begins another.
        for name in sorted(places, key=len, reverse=True):
            expr = expr.replace(f"${name}", places[name])
        return expr


def read(folder: Path) -> list[Asked]:
    """Return every query that Prometheus gets from the dashboards of a folder."""
    boards = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    return [asked for board in boards for asked in _of(board)]


def _of(board: Mapping[str, Any]) -> Iterator[Asked]:
    uid = board["uid"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield Asked(uid, variable["name"], "variable", _looked_up(variable["query"]["query"]))
    for annotation in board["annotations"]["list"]:
        yield Asked(uid, annotation["name"], "annotation", annotation["expr"])
    for panel in board["panels"]:
        if panel.get("datasource", {}).get("type") != "prometheus":
            continue
        for target in panel["targets"]:
            yield Asked(uid, panel["title"], panel["type"], target["expr"])


def _looked_up(query: str) -> str:
    """The series of `label_values(series, label)`, of those that have the label."""
    series, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(", ")
    del label
    return series
