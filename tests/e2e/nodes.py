"""Fake nodes for the chart's presets, in a room of their own on a shared cluster."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.preflight.demand import Demand, demands
from serving.preflight.deployment import Deployment
from tests.e2e.playground import (
    Change,
    Document,
    Playground,
    label,
    labelled,
    product,
    with_amount,
)

ROOM = "r1/room"
"""A label that keeps a test's pods off the nodes of others, and their pods off its nodes."""
MIB = 1024**2
RDMA = "rdma/hca_shared_devices_a"


def of_amd(name: str, memory_mib: int) -> Change:
    """A node as AMD's operator labels it."""

    def change(document: Document) -> None:
        for each in ("nvidia.com/gpu.product", "nvidia.com/gpu.memory", "nvidia.com/gpu.present"):
            label(document, each, None)
        label(document, "amd.com/gpu.product-name", name)
        label(document, "amd.com/gpu.memory", str(memory_mib))
        for kind in ("capacity", "allocatable"):
            document["status"][kind].pop("nvidia.com/gpu", None)
        document["spec"]["taints"] = [
            {"key": "amd.com/gpu", "value": "", "effect": "NoSchedule"},
            *(each for each in document["spec"]["taints"] if each["key"] != "nvidia.com/gpu"),
        ]

    return change


@dataclass(frozen=True, slots=True)
class Pool:
    """The nodes of one product that a preset's first replicas need."""

    product: str
    vendor: str
    memory_mib: int
    nodes: int
    gpus: int
    """Of each node."""
    rdma: bool

    def changes(self, room: str, gpus: int) -> tuple[Change, ...]:
        """What makes the template's node one of these, with so many GPUs."""
        known = product if self.vendor == "nvidia" else of_amd
        found = [
            known(self.product, self.memory_mib),
            with_amount(f"{self.vendor}.com/gpu", str(gpus)),
            labelled(ROOM, room),
        ]
        return (*found, with_amount(RDMA, "8")) if self.rdma else tuple(found)


def asked(preset: Path) -> tuple[Demand, ...]:
    """What the models of a preset need on GPUs."""
    found, wrong = demands(Deployment.load(preset))
    assert not wrong
    return tuple(each for each in found if each.gpus)


def pools(wanted: tuple[Demand, ...]) -> Iterator[Pool]:
    """The fewest nodes on which the first replicas find room."""
    products: dict[str, list[Demand]] = {}
    for each in wanted:
        assert each.machine.gpu is not None
        products.setdefault(each.machine.gpu.node_product or "", []).append(each)
    for name, sharing in products.items():
        gpu = sharing[0].machine.gpu
        assert gpu is not None
        size = max(each.machine.gpus_per_node for each in sharing)
        total = sum(each.gpus * each.pods * each.replicas for each in sharing)
        yield Pool(
            product=name,
            vendor=gpu.vendor,
            memory_mib=sharing[0].machine.memory_bytes // MIB,
            nodes=math.ceil(total / size),
            gpus=min(size, total),
            rdma=any(each.rdma for each in sharing),
        )


def in_room(preset: Mapping[str, Any], room: str) -> dict[str, Any]:
    """Values that go over a preset's and keep its pods on the nodes of a room."""
    selector = {"nodeSelector": {ROOM: room}}
    models = {
        name: {"pod": selector} for name, entry in preset["models"].items() if entry["enabled"]
    }
    # Without a store of its own, Ray's head has nothing that an operator must clean up.
    head = {"pod": {**selector, "tolerations": [{"operator": "Exists"}]}}
    return {"models": models, "ray": {"head": head, "redis": {"enabled": False}}}


class Schedule:
    """Where the pods of a namespace are."""

    def __init__(self, place: Playground, namespace: str) -> None:
        self._place = place
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    def pods(self) -> list[Document]:
        """Those of models."""
        found: Document = self._place.client.ask("GET", self._pods)
        return [each for each in found["items"] if "r1/model" in each["metadata"]["labels"]]

    def end(self) -> None:
        """End all pods at once."""
        for each in self._place.client.ask("GET", self._pods)["items"]:
            self._place.remove(f"{self._pods}/{each['metadata']['name']}")

    def gpus(self) -> Counter[tuple[str, str]]:
        """GPUs that pods have, by model and node."""
        found: Counter[tuple[str, str]] = Counter()
        for each in self.pods():
            node = each["spec"].get("nodeName")
            if node:
                found[each["metadata"]["labels"]["r1/model"], node] += gpus_of(each)
        return found

    def homeless(self) -> list[str]:
        """What the scheduler says of each pod that finds no node."""
        return [
            condition.get("message", "")
            for each in self.pods()
            for condition in each["status"].get("conditions", [])
            if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable"
        ]


def gpus_of(pod: Document) -> int:
    """GPUs that a pod asks for."""
    limits = [each["resources"]["limits"] for each in pod["spec"]["containers"]]
    return sum(int(each.get(f"{v}.com/gpu", 0)) for each in limits for v in ("nvidia", "amd"))
