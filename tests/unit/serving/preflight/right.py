"""A deployment, a cluster and a machine in which nothing is wrong; tests change one thing each."""

import functools
import json
from dataclasses import replace
from typing import Any

from serving.preflight.barriers import RDMA_LABELS
from serving.preflight.check import Case
from serving.preflight.cluster_facts import Cluster, Node, Operator, StorageClass, Taint
from serving.preflight.cluster_probe import needed_access, needed_apis
from serving.preflight.demand import Demand, demands
from serving.preflight.deployment import Deployment
from serving.preflight.examine import ALL_CLUSTER_CHECKS, MACHINE_CHECKS, SHARED_CHECKS
from serving.preflight.finding import Finding
from serving.preflight.host_facts import Host, HostGpu, Rdma, Weights

GIB = 1024**3
R1 = {"model": "deepseek-r1", "hardware": "8xh200"}
R1_TWO_NODES = {"model": "deepseek-r1", "hardware": "2x8xh100"}
DISTILL = {"model": "deepseek-r1:14b", "hardware": "8xh200"}
LLAMA = {"model": "deepseek-r1:8b", "hardware": "1xh100"}
NANO = {"model": "r1-nano", "hardware": "cpu"}
SHARED = StorageClass("shared", "nfs.csi.k8s.io", default=True, expandable=True)


def case_of(*models: dict[str, Any], **fields: Any) -> Case:
    """A case that can run."""
    given = models or (R1,)
    deployment = Deployment.model_validate({"models": given, **fields})
    return Case(deployment, _demands(json.dumps(given)))


@functools.cache
def _demands(models: str) -> tuple[Demand, ...]:
    """The demands of models; reading the catalog anew for each test would take seconds in all."""
    asked, wrong = demands(Deployment.model_validate({"models": json.loads(models)}))
    assert not wrong
    return asked


def node_of(name: str = "a", **changes: Any) -> Node:
    """A node of 8 H200."""
    labels = {
        "nvidia.com/gpu.product": "NVIDIA-H200",
        "nvidia.com/gpu.memory": "143771",
        "nvidia.com/gpu.present": "true",
        "nvidia.com/cuda.driver-version.major": "580",
        "cloud.google.com/gke-nodepool": "h200",
    }
    allocatable = {
        "cpu": 192.0,
        "memory": 2048.0 * GIB,
        "ephemeral-storage": 8192.0 * GIB,
        "nvidia.com/gpu": 8.0,
    }
    return replace(
        Node(
            name,
            labels=labels | changes.pop("labels", {}),
            taints=(Taint("nvidia.com/gpu", "", "NoSchedule"),),
            allocatable=allocatable | changes.pop("allocatable", {}),
        ),
        **changes,
    )


def h100_node(name: str, **changes: Any) -> Node:
    """A node of 8 H100 with RDMA."""
    labels = {
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/gpu.memory": "81559",
        RDMA_LABELS[0]: "true",
        "cloud.google.com/gke-nodepool": "h100",
    }
    allocatable = {"rdma/hca_shared_devices_a": 8.0} | changes.pop("allocatable", {})
    labels |= changes.pop("labels", {})
    return node_of(name, labels=labels, allocatable=allocatable, **changes)


def cluster_of(case: Case, *nodes: Node, **changes: Any) -> Cluster:
    """A cluster that takes the case."""
    apis: dict[tuple[str, str], frozenset[str]] = {}
    fields: dict[str, frozenset[str]] = {}
    for each in needed_apis(case.deployment):
        key = (each.group, each.version)
        apis[key] = apis.get(key, frozenset()) | {each.resource}
        if each.field:
            fields[f"{each.resource}.{each.group}"] = frozenset({each.field})
    access = {
        (each.group, each.resource, verb): True
        for each in needed_access(case.deployment)
        for verb in each.verbs
    }
    return replace(
        Cluster(
            version=(1, 34),
            nodes=nodes or (node_of(),),
            pods_seen=True,
            apis=apis,
            spec_fields=fields,
            ray_operators=(Operator("ray/kuberay-operator", "operator:1.6.2", available=True),),
            access=access,
            namespace=True,
            storage_classes=(SHARED,),
            quotas=(),
            limits=(),
            runtime_classes=frozenset(),
            admission=dict.fromkeys((each.name for each in case.demands), None),
        ),
        **changes,
    )


def gpu_of(index: int = 0, **changes: Any) -> HostGpu:
    """An idle H200."""
    return replace(
        HostGpu(
            index,
            "NVIDIA H200",
            memory_bytes=140 * GIB,
            free_bytes=139 * GIB,
            sliced=False,
            uncorrected_errors=0,
            links=18,
            fabric_ready=True,
        ),
        **changes,
    )


def host_of(case: Case, **changes: Any) -> Host:
    """A machine of 8 H200 that takes the case."""
    weights = {
        each.name: Weights("/weights", each.weight_bytes, free_bytes=10 * GIB)
        for each in case.demands
    }
    return replace(
        Host(
            architecture="x86_64",
            cpu_flags=frozenset({"avx2", "avx512f"}),
            memory_bytes=2048 * GIB,
            available_bytes=2000 * GIB,
            shm_bytes=64 * GIB,
            gpus=tuple(gpu_of(index) for index in range(8)),
            driver="580.82.07",
            interfaces=("eth0", "lo"),
            rdma=(Rdma("mlx5_0", active=True),),
            open_files=1_048_576,
            locked_bytes=-1,
            ports={},
            packages={"ray": "2.60.0", "torch": "2.13.0", "vllm": "0.29.0"},
            compiler=True,
            hub_token=False,
            weights=weights,
        ),
        **changes,
    )


def on_cluster(case: Case, cluster: Cluster) -> list[Finding]:
    """What all checks of a cluster find."""
    shared = [each for check in SHARED_CHECKS for each in check.run(case, None)]
    return shared + [each for check in ALL_CLUSTER_CHECKS for each in check.run(case, cluster)]


def on_machine(case: Case, host: Host) -> list[Finding]:
    """What all checks of a machine find."""
    shared = [each for check in SHARED_CHECKS for each in check.run(case, None)]
    return shared + [each for check in MACHINE_CHECKS for each in check.run(case, host)]


def wrong(findings: list[Finding]) -> list[Finding]:
    """Errors and warnings."""
    return [each for each in findings if each.severity in {"error", "warning"}]


def told(findings: list[Finding]) -> set[tuple[str, str]]:
    """Severities and checks of what is wrong."""
    return {(each.severity.value, each.id) for each in wrong(findings)}
