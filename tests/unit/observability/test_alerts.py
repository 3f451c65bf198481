"""Every alert fires at its fault and is silent in health, as promtool evaluates it."""

from pathlib import Path

import pytest

from scripts.observability import alerts, render
from scripts.observability.guards import ALERT
from scripts.observability.values import defaults, load
from tests.unit.observability import promtool
from tests.unit.observability.promtool import WORLDS, World

# promtool computes; how long that takes is the machine's affair.
pytestmark = pytest.mark.timeout(600)
CASES: list[World] = [*WORLDS["silent"], *WORLDS["faults"]]


def without(metric: str) -> World:
    """The healthy world after a series was renamed."""
    gone = {name: "null" for name in WORLDS["healthy"] if name.partition("{")[0] == metric}
    assert gone, f"worlds.yaml has no {metric}"
    fires = {ALERT: "warning"}
    if metric == "ray_serve_deployment_replica_healthy":
        fires["R1ReplicasMissing"] = "warning"
    return {"name": metric, "at": "130m", "evaluate": "10m", "series": gone, "fires": fires}


def test_each_alert_as_the_table_is_meant(tmp_path: Path) -> None:
    worlds = [each for each in CASES if "plain" not in each]
    renamed = [without(series) for each in load("guards.yaml") for series in each["series"]]
    promtool.check(tmp_path, render.groups(defaults()), [*worlds, *renamed])


def test_each_threshold_read_plainly(tmp_path: Path) -> None:
    worlds = [each for each in CASES if "plain" in each]
    promtool.check(tmp_path, render.groups(defaults(), plain=True), worlds)


def test_every_alert_has_a_fault_that_it_fires_at() -> None:
    shown = {alert for each in WORLDS["faults"] for alert in each["fires"]}
    assert shown | {ALERT} == set(alerts.names())
