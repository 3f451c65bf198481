"""docs/metrics.md: vocabulary, objectives, alerts and values, as their sources have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scripts.observability import alerts, slo, vocabulary
from scripts.observability.values import defaults, filled, load

_HEAD = """<!-- Made by `python -m scripts.observability` from deploy/observability/. -->
# Recorded series, alerts and their values

What the gateway and the nodes export themselves is in [api.md](api.md#metrics), how alerts are
meant in [operations.md](operations.md#alerts).
"""


def text() -> str:
    """The page."""
    parts = [
        _HEAD,
        "## Recorded series\n\n" + _series(),
        "## Objectives\n\n" + _objectives(),
        "## Alerts\n\n" + _alerts(),
        "## Values\n\n" + _values(),
        "## Series of others\n\n" + _others(),
    ]
    return "\n".join(parts)


def _series() -> str:
    told = {
        **vocabulary.described(),
        slo.ERRORS: "share of bad events in a window, by the labels `slo` and `window`",
        slo.EVENTS: "events in that window",
        slo.OBJECTIVE: "share of good events that is aimed at",
    }
    rows = ((f"`{name}`", filled(about, defaults())) for name, about in told.items())
    return (
        "By namespace and model; those of engines also by instance, those of GPUs by host or node\n"
        "and GPU. Latencies have the label `quantile`: 0.5, 0.95 and 0.99.\n\n"
        + _table(("Series", "Meaning"), rows)
    )


def _objectives() -> str:
    values = defaults()
    rows = (
        (f"`{each['slo']}`", f"{values[each['objective']]:.2%}", each["title"], each["alert"])
        for each in load("slos.yaml")["slos"]
    )
    return _table(("Objective", "Good", "Of what", "Alert"), rows)


def _alerts() -> str:
    rows = []
    for group in alerts.groups():
        if group["name"] != alerts.PLAIN:
            rows += [
                (
                    f"[{rule['alert']}](runbooks/{rule['alert']}.md)",
                    rule["labels"]["severity"],
                    rule["for"],
                    rule["labels"].get("window") or rule["labels"].get("metric") or "",
                )
                for rule in group["rules"]
            ]
    return _table(("Alert", "Severity", "After", "Of"), rows)


def _values() -> str:
    rows = (
        (f"`{name}`", f"`{each['value']}`" if each["value"] != "" else "", each["about"])
        for name, each in load("defaults.yaml").items()
    )
    return _table(("Value", "Default", "Meaning"), rows)


def _others() -> str:
    rows = (
        (
            f"[{each['source']}]({each['page']})",
            ", ".join(
                f"`{prefix}{name}`"
                for prefix in each.get("prefixes", [""])[:1]
                for name in each["series"]
            ),
        )
        for each in load("exporters.yaml")
    )
    return _table(("Source", "Series"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines
    )
