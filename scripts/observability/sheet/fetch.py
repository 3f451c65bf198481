"""What Prometheus has for a panel's queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name, and points as (Unix time, value)."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    @property
    def last(self) -> float:
        """The last value."""
        return self.points[-1][1]


class Source:
    """Ranges from a Prometheus."""

    def __init__(self, url: str, start: float, end: float, step_s: float) -> None:
        """Args: `start` and `end` are Unix times."""
        self._url, self._step_s = url.rstrip("/"), step_s
        self.start, self.end = start, end

    def lines(self, expr: str, legend: str) -> list[Series]:
        """Return all series of an expression over the time.

        Raises:
            ValueError: Prometheus does not take the expression; the message has its reason.
            httpx.HTTPError: it does not answer.
        """
        told = {"query": expr, "start": self.start, "end": self.end, "step": self._step_s}
        return [
            Series(named(legend, each["metric"]), each["metric"], _points(each["values"]))
            for each in self._asked("query_range", told)
        ]

    def now(self, expr: str, legend: str) -> list[Series]:
        """Return the values of an expression at the end of the time, each as one point.

        Raises:
            ValueError: as `lines`.
            httpx.HTTPError: as `lines`.
        """
        return [
            Series(named(legend, each["metric"]), each["metric"], _points([each["value"]]))
            for each in self._asked("query", {"query": expr, "time": self.end})
        ]

    def _asked(self, how: str, told: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = httpx.post(f"{self._url}/api/v1/{how}", data=told, timeout=30, trust_env=False)
        body = answer.json()
        if body["status"] != "success":
            raise ValueError(f"{told['query']}: {body['error']}")
        found: list[dict[str, Any]] = body["data"]["result"]
        return found


def named(legend: str, labels: Mapping[str, str]) -> str:
    """Return a series' name by a panel's legend."""
    if legend:
        return _LABEL.sub(lambda found: labels.get(found[1], ""), legend)
    return ", ".join(f"{key}={value}" for key, value in labels.items() if key != "__name__")


def _points(values: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    return [(float(at), float(value)) for at, value in values]
