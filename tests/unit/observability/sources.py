"""Every series that there is: the code's own, those of documented exporters, and recorded ones."""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from gateway.telemetry import metrics
from scripts.observability import render
from scripts.observability.dashboards.boards import BOARDS
from scripts.observability.promql import metric, selectors
from scripts.observability.values import load
from serving.telemetry import collector

_PARTS = {"histogram": ("_bucket", "_sum", "_count")}


@cache
def own() -> frozenset[str]:
    """Series of the gateway and of the model plane's telemetry."""
    gateway = {
        f"{family.name}{part}"
        for family in metrics.FAMILIES
        for part in _PARTS.get(family.kind, ("",))
    }
    return frozenset(gateway | {family.name for family in collector.FAMILIES})


@cache
def exported() -> frozenset[str]:
    """Series of others, as exporters.yaml lists them."""
    return frozenset(
        f"{prefix}{name}"
        for entry in load("exporters.yaml")
        for prefix in entry.get("prefixes", [""])
        for name in entry["series"]
    )


@cache
def recorded() -> frozenset[str]:
    """Series that recording rules make."""
    return frozenset(
        rule["record"]
        for group in render.templates()
        for rule in group["rules"]
        if "record" in rule
    )


def drawn() -> frozenset[str]:
    """Series that dashboards draw from Prometheus."""
    return frozenset(
        name
        for board in BOARDS
        for panel in board.panels
        if panel.source == "prometheus"
        for query in panel.queries
        for name in read(query.expr)
    )


def known() -> frozenset[str]:
    """All of them."""
    return own() | exported() | recorded()


def read(expr: str) -> set[str]:
    """Names of the series that an expression reads; not those that only a matcher has."""
    return {metric(each) for each in selectors(expr)} - {""}


def installed(entry: dict[str, Any]) -> str:
    """The text of the installed files that an entry of exporters.yaml names."""
    package = importlib.util.find_spec(entry["installed"][0].partition("/")[0])
    assert package is not None
    assert package.origin is not None
    root = Path(package.origin).parents[1]
    return "\n".join((root / each).read_text("utf-8") for each in entry["installed"])
