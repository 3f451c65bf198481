"""Rules and dashboards as the files that Prometheus, compose and the chart take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.observability import alerts, reference, slo, vocabulary
from scripts.observability.dashboards.boards import BOARDS
from scripts.observability.dashboards.render import rendered
from scripts.observability.values import (
    SOURCES,
    defaults,
    filled,
    shortened,
    shortened_wait,
    strings,
)

RENDERED = SOURCES / "rendered"
CHART = SOURCES.parent / "helm" / "r1" / "files" / "observability"
PAGE = SOURCES.parents[1] / "docs" / "metrics.md"
RULES = "prometheus-rules.yaml"
PLAIN = "thresholds-plain.yaml"
_HEAD = "# Made by `python -m scripts.observability` from deploy/observability/: do not edit.\n"


def templates() -> list[dict[str, Any]]:
    """All groups with the places of values still in them, both readings of the thresholds too."""
    return [*vocabulary.groups(), *slo.groups(), *alerts.groups()]


def groups(
    values: Mapping[str, Any], *, plain: bool = False, faster: float = 1
) -> list[dict[str, Any]]:
    """All groups with values in place.

    Args:
        values: every value by name.
        plain: read the threshold table as it stands.
        faster: divides all windows and waits, for drills.
    """
    left_out = alerts.THRESHOLDS if plain else alerts.PLAIN
    chosen = [group for group in templates() if group["name"] != left_out]
    whole: list[dict[str, Any]] = strings(chosen, lambda text: filled(text, values))
    return whole if faster == 1 else [_faster(group, faster) for group in whole]


def text(found: list[dict[str, Any]]) -> str:
    """Groups as a file of rules."""
    return _HEAD + yaml.safe_dump(
        {"groups": found}, sort_keys=False, width=1000, allow_unicode=True
    )


def files() -> dict[Path, str]:
    """The files of the project that are rendered, with what must be in them."""
    return {
        RENDERED / RULES: text(groups(defaults())),
        # The chart fills in its values itself, and takes one of the two readings.
        CHART / RULES: text([each for each in templates() if each["name"] != alerts.PLAIN]),
        CHART / PLAIN: text([each for each in templates() if each["name"] == alerts.PLAIN]),
        CHART / "defaults.yaml": (SOURCES / "defaults.yaml").read_text("utf-8"),
        PAGE: reference.text(),
        **_dashboards(),
    }


def _dashboards() -> dict[Path, str]:
    made = rendered(BOARDS, defaults())
    return {
        folder / "dashboards" / name: text
        for folder in (RENDERED, CHART)
        for name, text in made.items()
    }


def _faster(group: Mapping[str, Any], times: float) -> dict[str, Any]:
    rules = [{**rule, "expr": shortened(rule["expr"], times)} for rule in group["rules"]]
    for rule in rules:
        if "for" in rule:
            rule["for"] = shortened_wait(rule["for"], times)
    return {**group, "interval": "1s", "rules": rules}
