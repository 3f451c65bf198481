"""Reports, and what is promised about checks."""

import re
import tomllib
from pathlib import Path

import pytest

from serving.preflight import needs
from serving.preflight.deployment import Deployment
from serving.preflight.examine import examine_cluster, examine_machine, known_checks
from serving.preflight.finding import SCHEMA, Finding, Report
from tests.unit.serving.preflight.right import R1, case_of, cluster_of, host_of

ROOT = Path(__file__).parents[4]
ROW = re.compile(r"^\| `([a-z-]+)` \| (.*?) \| (.*?) \|", re.MULTILINE)


def test_exit_statuses() -> None:
    well = Report.of("machine", "a", [Finding.ok("x", "y"), Finding.info("x", "y")])
    warned = Report.of("machine", "a", [Finding.warning("x", "y", "z")])
    refused = Report.of(
        "machine", "a", [Finding.warning("x", "y", "z"), Finding.error("x", "y", "z")]
    )
    assert [each.exit_status() for each in (well, warned, refused)] == [0, 0, 2]
    assert [each.exit_status(strict=True) for each in (well, warned, refused)] == [0, 1, 2]


def test_the_worst_comes_first_and_the_document_has_it_all() -> None:
    report = Report.of("cluster", "here", [Finding.ok("a", "b"), Finding.error("c", "d", "e", "f")])
    assert report.document() == {
        "schema": SCHEMA,
        "kind": "cluster",
        "target": "here",
        "exit_status": 2,
        "summary": {"error": 1, "warning": 0, "info": 0, "ok": 1},
        "findings": [
            {"id": "c", "severity": "error", "found": "d", "mend": "e", "subject": "f"},
            {"id": "a", "severity": "ok", "found": "b", "mend": "", "subject": ""},
        ],
    }


def test_every_check_says_something_of_a_right_machine_and_a_right_cluster() -> None:
    case = case_of(R1)
    machine = examine_machine(case.deployment, "m", lambda asked: host_of(case))
    cluster = examine_cluster(case.deployment, "c", lambda asked: cluster_of(case))
    assert {each.id for each in machine.findings} == {
        name for name, (on_machine, _) in known_checks().items() if on_machine
    }
    assert {each.id for each in cluster.findings} == {
        name for name, (_, on_cluster) in known_checks().items() if on_cluster
    }


def test_a_model_that_cannot_run_is_refused_and_the_rest_is_still_looked_at() -> None:
    impossible = {"model": "deepseek-r1", "hardware": "1xl4"}
    deployment = Deployment.model_validate({"models": (impossible,)})
    case = case_of(R1)
    report = examine_machine(deployment, "m", lambda asked: host_of(case))
    assert report.exit_status() == 2
    assert [each.id for each in report.findings if each.severity == "error"] == ["fits"]
    assert len(report.findings) > 10


def test_the_table_in_the_documentation_is_that_of_the_checks() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## Before you install")[2].partition("\n## ")[0]
    rows = {name: (machine, cluster) for name, machine, cluster in ROW.findall(section)}
    assert rows == {
        name: tuple(looks_at or "—" for looks_at in both) for name, both in known_checks().items()
    }


@pytest.mark.parametrize("name", needs.PACKAGES)
def test_the_set_of_packages_is_that_of_the_project(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    every = [line for extra in project["optional-dependencies"].values() for line in extra]
    pinned = {line.partition("==")[0].partition("[")[0]: line.partition("==")[2] for line in every}
    assert pinned[name] == needs.PACKAGES[name]
