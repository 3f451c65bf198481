"""Alerts from their YAML files, with severity, words and links, as Prometheus takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scripts.observability import guards, slo
from scripts.observability.values import load

FILES = ("gateway", "engine", "gpus", "watching")
THRESHOLDS = "r1-thresholds"
PLAIN = "r1-thresholds-plain"
"""The group that is installed in place of THRESHOLDS where the table is to be read plainly."""
_CHOSEN = "".join(
    f"{{{{ with $labels.{label} }}}}&var-{label}={{{{ . }}}}{{{{ end }}}}"
    for label in ("namespace", "model")
)


def groups() -> list[dict[str, Any]]:
    """All groups of alerts, both readings of the threshold table among them."""
    table = load("alerts/thresholds.yaml")
    plain = [{**each, "expr": each["plain"]} for each in table]
    others = {f"r1-{name}": load(f"alerts/{name}.yaml") for name in FILES}
    named = {
        THRESHOLDS: table,
        PLAIN: plain,
        **others,
        "r1-renamed": guards.alerts(),
        "r1-burn-rates": slo.alerts(),
    }
    return [{"name": name, "rules": _rules(told)} for name, told in named.items()]


def names() -> list[str]:
    """The names of all alerts, each once."""
    rules = (rule["alert"] for group in groups() for rule in group["rules"])
    return list(dict.fromkeys(rules))


def _rules(told: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_rule(each) for each in told]


def _rule(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "alert": told["alert"],
        "expr": told["expr"],
        "for": told["for"],
        "labels": {"severity": told["severity"], **told.get("labels", {})},
        "annotations": {
            "summary": told["summary"],
            "description": told["description"],
            "dashboard_url": f"${{dashboards_url}}/d/{told['dashboard']}?from=now-3h{_CHOSEN}",
            "runbook_url": f"${{runbooks_url}}/{told['alert']}.md",
        },
    }
