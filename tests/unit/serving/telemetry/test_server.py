"""The telemetry port as Prometheus meets it."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.telemetry.collector import FAMILIES, Family, NodeCollector
from serving.telemetry.gpus import Gpu
from serving.telemetry.node import node_telemetry
from serving.telemetry.notes import Note
from serving.telemetry.replicas import registered, target
from serving.telemetry.server import TelemetryServer
from serving.telemetry.starts import table
from tests.unit.serving.telemetry.page import PAGE

GPUS = [Gpu("0", 0.97, 0.75), Gpu("1", None, 0.5)]
TOOK, ALLOWED = {"load": 2.0, "fetch": 0.5}, {"load": 1.0, "fetch": 0.0, "compile": 20.0}
NOTES = [
    Note("r1-nano", seconds=TOOK, allowed=ALLOWED, max_replicas=4),
    Note("other", "fetching"),
]
TARGETS = [target("r1-nano", "http://10.0.0.7:30001/r1-nano")]


@pytest.fixture(scope="module")
def server() -> Iterator[TelemetryServer]:
    collector = NodeCollector(lambda: GPUS, lambda: 0.25, lambda: NOTES)
    made = TelemetryServer("127.0.0.1", 0, collector, lambda: TARGETS)
    made.start()
    yield made
    made.close()


def get(server: TelemetryServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_all_gauges_are_there(server: TelemetryServer) -> None:
    status, text = get(server, "/metrics")
    assert status == 200
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples == {
        ("r1_gpu_utilization_ratio", "0"): 0.97,
        ("r1_gpu_memory_used_ratio", "0"): 0.75,
        ("r1_gpu_memory_used_ratio", "1"): 0.5,
        ("r1_memory_used_ratio",): 0.25,
        ("r1_cold_start_seconds", "r1-nano", "load"): 2.0,
        ("r1_cold_start_seconds", "r1-nano", "fetch"): 0.5,
        # Of the phases that were: the rest of the budget would make every start look quick.
        ("r1_cold_start_budget_seconds", "r1-nano", "load"): 1.0,
        ("r1_cold_start_budget_seconds", "r1-nano", "fetch"): 0.0,
        ("r1_autoscaling_max_replicas", "r1-nano"): 4.0,
    }
    assert {name for name, *_ in samples} == {family.name for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_page_has_each_metric_with_its_labels(family: Family) -> None:
    (line,) = [each for each in PAGE.splitlines() if f"| `{family.name}` |" in each]
    assert all(f"`{label}`" in line for label in family.labels)


def test_cold_starts_are_a_table(server: TelemetryServer) -> None:
    *_, row = table(get(server, "/metrics")[1]).splitlines()
    assert row == "| r1-nano |  | 0.5 |  |  | 2.0 |  |  |  | 2.5 |"


def test_prometheus_finds_the_replicas(server: TelemetryServer) -> None:
    status, text = get(server, "/replicas")
    assert status == 200
    assert json.loads(text) == [
        {
            "targets": ["10.0.0.7:30001"],
            "labels": {
                "__scheme__": "http",
                "__metrics_path__": "/r1-nano/metrics",
                "model": "r1-nano",
            },
        }
    ]


def test_other_paths(server: TelemetryServer) -> None:
    assert get(server, "/livez")[0] == 200
    assert get(server, "/")[0] == 404


def answer_of(environment: dict[str, str]) -> tuple[int, str]:
    made = node_telemetry("127.0.0.1", 0, environment)
    made.start()
    try:
        assert get(made, "/metrics")[0] == 200
        return get(made, "/replicas")
    finally:
        made.close()


def test_without_a_registry_the_list_says_what_to_set() -> None:
    status, text = answer_of({})
    assert status == 503
    assert "R1_REGISTRY_URL" in text


def test_a_wrong_registry_is_told_without_its_secret() -> None:
    status, text = answer_of({"R1_REGISTRY_URL": "http://:secret@127.0.0.1"})
    assert status == 503
    assert "redis://" in text
    assert "secret" not in text


def test_a_registry_that_is_away_leaves_prometheus_its_list() -> None:
    status, text = answer_of({"R1_REGISTRY_URL": "redis://:secret@127.0.0.1:9/0"})
    assert status == 503
    assert "secret" not in text


async def test_registered_replicas_of_all_models_are_targets() -> None:
    client: Any = fakeredis.FakeAsyncRedis()
    alive = f"{int(time.time()) + 60} {{}}"
    await client.hset("r1:replicas:r1-nano", "http://10.0.0.7:30001/r1-nano", alive)
    await client.hset("{r1}:replicas:r1-nano", "http://10.0.0.8:30001/r1-nano", alive)
    await client.hset("r1:replicas:other", "http://10.0.0.7:30002", alive)
    await client.hset("r1:replicas:other", "http://gone:1", "1 {}")
    await client.set("r1:replicas:other:names", "kept by gateways")
    found = await registered(client)
    await client.aclose()
    assert [(each["targets"], each["labels"]["model"]) for each in found] == [
        (["10.0.0.7:30001"], "r1-nano"),
        (["10.0.0.7:30002"], "other"),
        (["10.0.0.8:30001"], "r1-nano"),
    ]
    assert found[1]["labels"]["__metrics_path__"] == "/metrics"
