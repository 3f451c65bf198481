"""The chart's presets on fake GPU nodes: pods find the nodes that the plan means, and no others."""

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.presets import CHART, PRESETS
from tests.chart.helm import Helm
from tests.e2e.doctor import Doctor
from tests.e2e.kit import Kit
from tests.e2e.nodes import Pool, Schedule, asked, in_room, pools
from tests.e2e.playground import Document, Playground, wait_until

# Nodes that must stay empty: other products, each with more than enough.
DECOYS = (
    Pool("NVIDIA-H20", "nvidia", 97871, 1, 8, True),
    Pool("NVIDIA-A100-SXM4-80GB", "nvidia", 81920, 1, 8, True),
    Pool("AMD_Instinct_MI325X_OAM", "amd", 262144, 1, 8, True),
)
ON_GPUS = [name for name in PRESETS if name != "nano"]
# One of each kind is in CI: a node, two nodes, AMD's, and several models.
KINDS = ("r1-8xh200-latency", "r1-16xh100", "r1-mi300x", "family")
_rooms = itertools.count(1)


def some(names: list[str], quick: tuple[str, ...]) -> list[Any]:
    """All of them, those that are not quick marked as slow."""
    return [each if each in quick else pytest.param(each, marks=pytest.mark.slow) for each in names]


@pytest.fixture(scope="session")
def helm(kit: Kit) -> Helm:
    return Helm({**os.environ, **kit.environment()})


@pytest.fixture(scope="module")
def pattern(kit: Kit) -> Document:
    """A fake node as the kit makes it."""
    kit.add_gpu_node("r1-presets-template", 8)
    with Playground(kit.kubeconfig()) as place:
        return place.take_node("r1-presets-template")


@pytest.fixture
def place(kit: Kit, pattern: Document) -> Iterator[Playground]:
    with Playground(kit.kubeconfig(), pattern, prefix="r1-presets") as place:
        yield place


class Stage:
    """A preset's nodes and its release's pods, in a namespace of its own."""

    def __init__(self, place: Playground, helm: Helm, name: str) -> None:
        self.preset = CHART / "presets" / f"{name}.yaml"
        self.wanted = asked(self.preset)
        self.place = place
        self.room = f"room-{os.getpid()}-{next(_rooms)}"
        self.products: dict[str, str] = {}
        self.decoys: set[str] = set()
        self._helm = helm
        self._put: list[str] = []
        self.namespace = place.namespace()
        self.schedule = Schedule(place, self.namespace)
        self.overrides = in_room(yaml.safe_load(self.preset.read_text("utf-8")), self.room)

    def build(self, *, lacking: int = 0) -> None:
        """Make its nodes, the last of each product with fewer GPUs, and those that must not do."""
        for pool in pools(self.wanted):
            for number in range(1, pool.nodes + 1):
                gpus = pool.gpus - (lacking if number == pool.nodes else 0)
                node = self.place.node(*pool.changes(self.room, gpus))
                self.products[node] = pool.product
        for pool in DECOYS:
            self.decoys.add(self.place.node(*pool.changes(self.room, pool.gpus)))

    def documents(self, **values: Any) -> list[Document]:
        return self._helm.render(self.preset, **{**self.overrides, **values})

    def put(self, path: str, document: Document) -> None:
        document["metadata"].pop("namespace", None)
        kind = f"{path}/namespaces/{self.namespace}/{document['kind'].lower()}s"
        self.place.make(kind, document)
        self._put.append(f"{kind}/{document['metadata']['name']}")

    def clear(self) -> None:
        """Take the pods away before their nodes go."""
        for path in self._put:
            self.place.remove(path)
        self._put.clear()
        self.schedule.end()
        wait_until("all pods are gone", lambda: not self.schedule.pods())

    def account(self, documents: list[Document]) -> None:
        """The accounts of Ray's pods, without which none is made."""
        for each in documents:
            if each["kind"] == "ServiceAccount" and each["metadata"]["name"] == "r1-ray":
                self.put("/api/v1", each)

    def workers(self) -> None:
        """What runs the models: StatefulSets of the runtime `plain`."""
        documents = self.documents()
        self.account(documents)
        for each in documents:
            labels = each["metadata"].get("labels", {})
            if each["kind"] == "StatefulSet" and "ray-worker" in labels.values():
                self.put("/apis/apps/v1", each)

    def expected(self) -> Counter[tuple[str, str]]:
        """GPUs by model and product that the first replicas have."""
        found: Counter[tuple[str, str]] = Counter()
        for each in self.wanted:
            assert each.machine.gpu is not None
            name = (each.name, each.machine.gpu.node_product or "")
            found[name] += each.gpus * each.pods * each.replicas
        return found

    def placed(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for (model, node), gpus in self.schedule.gpus().items():
            found[model, self.products.get(node, node)] += gpus
        return found

    def all_placed(self) -> bool:
        return sum(self.placed().values()) == sum(self.expected().values())


@pytest.fixture
def stage(place: Playground, helm: Helm, request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage(place, helm, request.param)
    yield stage
    stage.clear()


@pytest.mark.parametrize("stage", some(ON_GPUS, KINDS), indirect=True)
def test_a_preset_schedules_as_planned(stage: Stage) -> None:
    stage.build()
    stage.workers()
    wait_until("all GPUs are taken", stage.all_placed)
    assert stage.placed() == stage.expected()
    where = stage.schedule.gpus()
    assert not {node for _, node in where} & stage.decoys
    for demand in stage.wanted:
        nodes = [node for model, node in where if model == demand.name]
        # A group's pods fill a node each.
        assert len(nodes) == demand.pods
    assert stage.schedule.homeless() == []


@pytest.mark.parametrize("stage", some(ON_GPUS, ("r1-8xh200-latency", "r1-16xh100")), indirect=True)
def test_one_gpu_too_few_is_told_by_the_scheduler_and_by_the_doctor(
    stage: Stage, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stage.build(lacking=1)
    stage.workers()

    def short() -> bool:
        # A node that has just come may be unready yet, which is told first.
        return any("Insufficient" in each for each in stage.schedule.homeless())

    wait_until("a pod lacks a GPU", short)
    assert not stage.all_placed()
    # The pods hold what there is; the doctor is asked before an installation.
    stage.clear()
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps(_merged(stage)), encoding="utf-8")
    doctor = Doctor(stage.place, capsys)
    doctor.look("--cluster", "--file", str(values), "-n", stage.namespace)
    assert doctor.ids("error") & {"placement", "gpu-count", "gpu-plugin"}, doctor.text
    said = [each for each in doctor.findings if each["severity"] == "error"]
    assert any("GPU" in each["found"] for each in said), doctor.text
    assert all(each["mend"] for each in said)


@pytest.mark.parametrize("stage", some(ON_GPUS, ("r1-16xh100",)), indirect=True)
def test_a_ray_cluster_of_kuberay_schedules_as_planned(stage: Stage) -> None:
    stage.build()
    documents = stage.documents(runtime="kuberay")
    stage.account(documents)
    (service,) = [each for each in documents if each["kind"] == "RayService"]
    spec = service["spec"]["rayClusterConfig"]
    cluster = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "r1", "annotations": service["metadata"].get("annotations", {})},
        "spec": spec,
    }
    stage.put("/apis/ray.io/v1", cluster)
    wait_until("all GPUs are taken", stage.all_placed)
    assert stage.placed() == stage.expected()
    assert not {node for _, node in stage.schedule.gpus()} & stage.decoys
    path = f"/apis/ray.io/v1/namespaces/{stage.namespace}/rayclusters/r1"
    desired = sum(demand.pods * demand.replicas for demand in stage.wanted)

    def ready() -> bool:
        status = stage.place.client.ask("GET", path).get("status", {})
        return bool(status.get("readyWorkerReplicas") == desired)

    wait_until("the operator counts all workers as ready", ready)


@pytest.mark.parametrize("runtime", ["plain", "kuberay"])
def test_the_preset_for_processors_asks_for_no_gpu(helm: Helm, runtime: str) -> None:
    documents = helm.render(CHART / "presets" / "nano.yaml", runtime=runtime)
    assert "nvidia.com/gpu" not in json.dumps(
        [each for each in documents if each["kind"] in ("StatefulSet", "RayService")]
    ).replace('"key": "nvidia.com/gpu"', "")


def _merged(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(stage.preset.read_text("utf-8"))
    for name, entry in stage.overrides["models"].items():
        found["models"][name]["pod"]["nodeSelector"] |= entry["pod"]["nodeSelector"]
    return found
