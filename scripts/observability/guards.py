"""Alerts about series that are missing where their sisters are there: guards.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.observability.values import load
from scripts.observability.vocabulary import HERE

ALERT = "R1MetricRenamed"
_WAIT = "2h"
"""The first answer of a gateway takes up to 90 minutes, and its counters come at its end."""


def alerts() -> list[dict[str, Any]]:
    """One rule for each guarded series, in the form of the alerts' files."""
    return [_alert(entry, series) for entry in load("guards.yaml") for series in entry["series"]]


def _alert(entry: Mapping[str, Any], series: str) -> dict[str, Any]:
    others = "|".join(each for each in entry["series"] if each != series)
    # An exporter of its own namespace names those of the workloads otherwise.
    exported = entry.get("exported", False)
    where = "" if exported else f", {HERE}"
    own = series if exported else f"{series}{{{HERE}}}"
    sisters = f'{{__name__=~"{others}"{where}}}'
    of = entry["of"]
    there = f"{sisters} > 0" if entry.get("counted", False) else sisters
    return {
        "alert": ALERT,
        "severity": "warning",
        "labels": {"metric": series},
        "for": _WAIT,
        "expr": f"count by (namespace) ({there}) > 0 unless on (namespace) {own}",
        "dashboard": "r1-overview",
        "summary": f"The series {series} is gone",
        "description": (
            f"There are {{{{ $value | humanize }}}} other series of {of}, but no {series}: "
            "it was renamed or is no longer exported, and what is watched by it is not watched."
        ),
    }
