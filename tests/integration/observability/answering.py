"""Which queries a Prometheus has nothing for."""

from __future__ import annotations

from collections.abc import Container, Iterable

from scripts.observability.dashboards.reading import CHOICES, Asked, Times
from scripts.observability.promql import metric, selectors
from tests.integration.observability.prometheus import Prometheus

TIMES = Times(rate_interval="10m", interval="10m", range="10m")
"""Long enough for all that happened since Prometheus began to look."""


def empty_panels(
    prometheus: Prometheus, asked: Iterable[Asked], namespace: str = ".*"
) -> list[str]:
    """Return the dashboards' queries that give nothing: `board / title: query`."""
    choices = {**CHOICES, "namespace": namespace}
    queries = [(each, TIMES.filled(each.expr, choices)) for each in asked]
    return [
        f"{each.board} / {each.title}: {query}"
        for each, query in queries
        if not prometheus.query(query)
    ]


def empty_records(prometheus: Prometheus) -> list[str]:
    """Return the recorded series that have nothing, or whose rule fails: `record: query`."""
    found = []
    for rule in prometheus.rules():
        if rule["type"] != "recording":
            continue
        labels = ", ".join(f'{name}="{value}"' for name, value in rule.get("labels", {}).items())
        if rule["health"] != "ok" or not prometheus.query(f"{rule['name']}{{{labels}}}"):
            found.append(f"{rule['name']}{{{labels}}}: {rule['query']} {rule.get('lastError', '')}")
    return found


def empty_alerts(prometheus: Prometheus, by_name: Container[str] = ()) -> list[str]:
    """Return what alerts watch and nobody has: `alert: series with its matchers`.

    An alert in health gives nothing, so each series that it reads is asked for alone; those that
    are in `by_name` without their matchers, which are alternatives for several releases.
    """
    found = []
    for rule in prometheus.rules():
        if rule["type"] != "alerting":
            continue
        if rule["health"] != "ok":
            found.append(f"{rule['name']}: {rule.get('lastError')}")
        for selector in selectors(rule["query"]):
            wanted = metric(selector) if metric(selector) in by_name else selector
            if not prometheus.query(wanted):
                found.append(f"{rule['name']}: {selector}")
    return found
