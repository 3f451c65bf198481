"""Every query of every dashboard, rule and alert, asked of a Prometheus that scrapes a real stack.

Two things are scraped side by side: a stack with both nano models on the real engine, and a gateway
to which everything rare has happened. What neither has is written in `exporters.prom`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.observability.__main__ import main as observability
from scripts.observability.dashboards.reading import Asked, read
from serving.telemetry.collector import NodeCollector
from serving.telemetry.gpus import Gpu
from serving.telemetry.server import TelemetryServer
from tests.contract.stack import HTTP
from tests.integration.observability.answering import (
    empty_alerts,
    empty_panels,
    empty_records,
)
from tests.integration.observability.faulty import Faulty, faulty, trickle
from tests.integration.observability.nano import Nano, nano
from tests.integration.observability.pages import served
from tests.integration.observability.prometheus import Job, Prometheus

# Two models and a third engine start before the first test.
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

ROOT = Path(__file__).parents[3]
RENDERED = ROOT / "deploy" / "observability" / "rendered"
EXPORTERS = (Path(__file__).parent / "exporters.prom").read_text("utf-8")
SYNTHETIC = frozenset(re.findall(r"^# TYPE (\S+)", EXPORTERS, re.MULTILINE))
"""The series that no machine without GPUs or Kubernetes has."""
FAULTS_OF_RAY = frozenset({"r1:health_checks_failed:rate{}"})
"""Counted by Ray Serve from the first failed health check on; no rule but this reads it."""
GPUS = (Gpu("0", 0.72, 0.93), Gpu("1", 0.68, 0.93))
"""What our own telemetry is told to have found; it exports them itself."""
ADDRESS = "127.0.0.1"
LOAD_S, CALLERS = 12.0, 6
EVERY_S = 3.0
"""Between two scrapes, and what one may take: a busy machine must not look like a target's end."""


@dataclass(frozen=True)
class Observed:
    """What is looked at, and by whom."""

    prometheus: Prometheus
    nano: Nano
    faulty: Faulty


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """All of it under load, until every rule was evaluated over it."""
    folder = tmp_path_factory.mktemp("observed")
    page = EXPORTERS.replace("NAMESPACE", "nano").replace("ADDRESS", ADDRESS)
    gpus = TelemetryServer(ADDRESS, 0, NodeCollector(lambda: GPUS, lambda: 0.4, list), list)
    gpus.start()
    try:
        with (
            nano(folder / "nano") as (stack, drafting),
            faulty(folder) as other,
            served({"/metrics": page}) as exporters,
        ):
            here = {"namespace": "nano"}
            jobs = [
                Job("r1-gateway", [stack.gateway], labels=here),
                Job("r1-telemetry", [stack.telemetry], labels=here),
                Job("r1-ray", [stack.ray], labels=here),
                Job("r1-engines", listed_at=stack.replicas, labels=here),
                Job("r1-drafting", [drafting.address], labels=here),
                Job("r1-gpus", [f"{ADDRESS}:{gpus.port}"], labels={**here, "synthetic": "true"}),
                Job("r1-faulty", [other.gateway.admin_url[7:]], labels={"namespace": "faulty"}),
                Job("dcgm", [exporters], labels={"synthetic": "true"}, honor_labels=True),
            ]
            rules = (RENDERED / "prometheus-rules.yaml").read_text("utf-8")
            prometheus = Prometheus(folder / "prometheus", jobs, rules, every_s=EVERY_S)
            try:
                prometheus.wait_scraped()
                with trickle(other.ask, drafting.ask):
                    other.provoke()
                    assert stack.load(LOAD_S, CALLERS) > CALLERS
                    yield Observed(prometheus, stack, other)
            finally:
                prometheus.end()
    finally:
        gpus.close()


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    """The queries of the dashboards that are shipped."""
    return read(RENDERED / "dashboards")


def test_every_panel_has_data(observed: Observed, asked: list[Asked]) -> None:
    assert len(asked) > 150
    soon_nothing(lambda: empty_panels(observed.prometheus, asked))


def test_every_recording_rule_has_data(observed: Observed) -> None:
    def empty() -> list[str]:
        found = empty_records(observed.prometheus)
        return [each for each in found if each.partition(": ")[0] not in FAULTS_OF_RAY]

    soon_nothing(empty)


def test_all_that_alerts_watch_has_data(observed: Observed) -> None:
    soon_nothing(lambda: empty_alerts(observed.prometheus, SYNTHETIC))


def test_only_exporters_of_others_are_synthetic(observed: Observed, asked: list[Asked]) -> None:
    """The list is short, and nothing on it is ours, vLLM's or Ray's, or asked for by nobody."""
    rules = "\n".join(rule["query"] for rule in observed.prometheus.rules())
    queries = rules + "\n".join(each.expr for each in asked)
    assert {name for name in SYNTHETIC if name not in queries} == set()
    assert {name for name in SYNTHETIC if re.match(r"r1[_:]|vllm:|ray_", name)} == set()
    assert len(SYNTHETIC) < 40
    real = observed.prometheus.query('count by (__name__) ({synthetic="", namespace="nano"})')
    assert {each["metric"]["__name__"] for each in real} & SYNTHETIC == set()


def test_drafts_are_real(observed: Observed) -> None:
    accepted = observed.prometheus.value("sum(vllm:spec_decode_num_accepted_tokens_total)")
    assert accepted is not None
    assert accepted > 0


def test_the_contact_sheet_is_drawn(observed: Observed, tmp_path: Path) -> None:
    out = Path(os.environ.get("R1_SHEET", tmp_path))
    words = ["sheet", "--prometheus", observed.prometheus.url, "--out", str(out)]
    assert observability([*words, "--minutes", "1", "--rate", "15s"]) == 0
    boards = {path.stem for path in (RENDERED / "dashboards").glob("*.json")}
    assert {path.stem for path in out.glob("*.png")} == boards
    assert all(path.stat().st_size > 10_000 for path in out.glob("*.png"))


def test_a_renamed_metric_is_found(observed: Observed, asked: list[Asked], tmp_path: Path) -> None:
    """The same page twice, in one copy of which a metric has another name."""
    page = HTTP.get(observed.faulty.gateway.admin_url + "/metrics").text
    copies = {"/same": page, "/renamed": page.replace("r1_queue_depth", "r1_queue_length")}
    rules = (RENDERED / "prometheus-rules.yaml").read_text("utf-8")
    with served(copies) as address:
        jobs = [
            Job(f"r1-{name}", [address], path=f"/{name}", labels={"namespace": name})
            for name in ("same", "renamed")
        ]
        prometheus = Prometheus(tmp_path / "prometheus", jobs, rules)
        try:
            prometheus.wait_scraped()
            reads = [each for each in asked if "queue_depth" in each.expr]
            assert len(reads) >= 3
            soon_nothing(lambda: empty_panels(prometheus, reads, namespace="same"))
            lost = empty_panels(prometheus, reads, namespace="renamed")
            assert len(lost) == len(reads)
        finally:
            prometheus.end()


def soon_nothing(find: Callable[[], list[str]], timeout_s: float = 30.0) -> None:
    """Assert that `find` comes to find nothing: rules are evaluated as often as is scraped."""
    end = time.monotonic() + timeout_s
    while (left := find()) and time.monotonic() < end:
        time.sleep(1)
    assert left == []
