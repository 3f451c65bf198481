"""Objectives as data (slos.yaml) into error ratios and burn-rate alerts.

The method is that of "The Site Reliability Workbook" (2018), chapter 5, "Multiwindow,
Multi-Burn-Rate Alerts".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.observability.values import load

ERRORS = "r1:slo_error_ratio"
EVENTS = "r1:slo_events:increase"
OBJECTIVE = "r1:slo_objective"
_BY = "sum by (namespace, model)"


def groups() -> list[dict[str, Any]]:
    """Recording rules of every window, and the objectives themselves."""
    told = load("slos.yaml")
    windows = list(dict.fromkeys(each[end] for each in told["burns"] for end in ("short", "long")))
    rules = []
    for slo in told["slos"]:
        name = slo["slo"]
        rules.append(_record(OBJECTIVE, f"vector(${{{slo['objective']}}})", slo=name))
        for window in windows:
            total = f"{_BY} (increase({slo['total']}[{window}]))"
            rules.append(_record(EVENTS, total, slo=name, window=window))
            rules.append(_record(ERRORS, _ratio(slo, window), slo=name, window=window))
    return [{"name": "r1-slos", "rules": rules}]


def alerts() -> list[dict[str, Any]]:
    """One alert for each objective and pair of windows, in the form of the alerts' files."""
    told = load("slos.yaml")
    return [_alert(slo, burn, told["period"]) for slo in told["slos"] for burn in told["burns"]]


def _record(record: str, expr: str, **labels: str) -> dict[str, Any]:
    return {"record": record, "expr": expr, "labels": labels}


def _ratio(slo: Mapping[str, Any], window: str) -> str:
    total = f"{_BY} (rate({slo['total']}[{window}]))"
    if "good" in slo:
        return f"1 - {_BY} (rate({slo['good']}[{window}])) / ({total} > 0)"
    bad = f"{_BY} (rate({slo['bad']}[{window}]))"
    return f"({bad} or 0 * {total}) / ({total} > 0)"


def _alert(slo: Mapping[str, Any], burn: Mapping[str, Any], period: str) -> dict[str, Any]:
    name, most = slo["slo"], f"{burn['rate']} * (1 - ${{{slo['objective']}}})"
    long, short = (f'{ERRORS}{{slo="{name}", window="{burn[end]}"}}' for end in ("long", "short"))
    enough = f'{EVENTS}{{slo="{name}", window="{burn["long"]}"}} >= ${{least_events}}'
    joined = "and ignoring (window)"
    return {
        "alert": slo["alert"],
        "severity": burn["severity"],
        "labels": {"window": burn["long"]},
        "for": burn["for"],
        "expr": f"{long} > {most} {joined} {short} > {most} {joined} {enough}",
        "dashboard": slo["dashboard"],
        "summary": f"{{{{ $labels.model }}}} misses its objective: {slo['title']}",
        "description": (
            "{{ $value | humanizePercentage }} were bad over the last "
            f"{burn['long']}, and still are over the last {burn['short']}: the error budget of "
            f"{period} burns at least {burn['rate']} times as fast as it "
            f"lasts. The objective is ${{{slo['objective']}}} ({slo['title']})."
        ),
    }
