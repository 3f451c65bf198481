"""What is told of a cluster's nodes, with one thing wrong at a time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.hardware.machine import SHIPPED
from serving.preflight.barriers import tolerates
from serving.preflight.cluster_facts import Node, Taint
from serving.preflight.deployment import Toleration
from tests.unit.serving.preflight.right import (
    DISTILL,
    GIB,
    NANO,
    R1,
    R1_TWO_NODES,
    case_of,
    cluster_of,
    h100_node,
    node_of,
    on_cluster,
    told,
    wrong,
)

PLACEMENT = ("error", "placement")


def test_a_right_cluster_has_nothing_to_mend() -> None:
    case = case_of()
    assert wrong(on_cluster(case, cluster_of(case))) == []


def test_two_right_nodes_hold_an_engine_that_spans_them() -> None:
    case = case_of(R1_TWO_NODES)
    assert wrong(on_cluster(case, cluster_of(case, h100_node("a"), h100_node("b")))) == []


@pytest.mark.parametrize(
    ("check", "changes", "sentence"),
    [
        ("node-ready", {"ready": False}, "not ready"),
        ("node-ready", {"pressures": ("DiskPressure",)}, "under DiskPressure"),
        ("node-cordoned", {"cordoned": True}, "cordoned"),
        ("taint", {"taints": (Taint("dedicated", "x", "NoExecute"),)}, "dedicated=x:NoExecute"),
        ("gpu-count", {"allocatable": {"nvidia.com/gpu": 4.0}}, "has 4 GPUs, a pod"),
        ("gpu-plugin", {"allocatable": {"nvidia.com/gpu": 0.0}}, "offers none"),
        ("gpu-sliced", {"labels": {"nvidia.com/gpu.product": "NVIDIA-H200-MIG-1g.18gb"}}, "MIG"),
        ("gpu-sliced", {"labels": {"nvidia.com/gpu.product": "NVIDIA-H200-SHARED"}}, "shares"),
        ("gpu-sliced", {"labels": {"nvidia.com/gpu.replicas": "2"}}, "between 2 pods"),
        ("gpu-memory", {"labels": {"nvidia.com/gpu.memory": "71885"}}, "70.2 GiB a GPU"),
        ("driver", {"labels": {"nvidia.com/cuda.driver-version.major": "570"}}, "driver 570"),
        ("host-memory", {"allocatable": {"memory": 32.0 * GIB}}, "32 GiB of memory"),
        ("disk", {"allocatable": {"ephemeral-storage": 10.0 * GIB}}, "10 GiB of disk"),
    ],
)
def test_one_thing_wrong_with_the_only_node(
    check: str, changes: dict[str, Any], sentence: str
) -> None:
    case = case_of()
    findings = on_cluster(case, cluster_of(case, node_of(**changes)))
    assert told(findings) == {("error", check), PLACEMENT}
    found = next(each for each in findings if each.id == check)
    assert sentence in found.found
    assert found.subject == "a"
    assert found.mend


def test_a_wrong_node_beside_enough_right_ones_is_only_mentioned() -> None:
    case = case_of()
    findings = on_cluster(case, cluster_of(case, node_of("a"), node_of("b", ready=False)))
    assert wrong(findings) == []
    ready = next(each for each in findings if each.id == "node-ready")
    assert (ready.severity, ready.subject) == ("info", "b")
    assert "other nodes suffice" in ready.found


def test_nodes_with_the_same_fault_are_told_together() -> None:
    case = case_of({**R1, "replicas": 2})
    nodes = [node_of(f"n{index}", cordoned=True) for index in range(6)]
    findings = on_cluster(case, cluster_of(case, *nodes))
    cordoned = [each for each in findings if each.id == "node-cordoned"]
    assert [each.subject for each in cordoned] == ["n0, n1, n2 and 3 more"]


def test_a_node_selector_keeps_pods_off_other_nodes() -> None:
    case = case_of(node_selector={"pool": "r1"})
    findings = on_cluster(case, cluster_of(case, node_of()))
    assert told(findings) == {("error", "node-selector"), PLACEMENT}
    assert told(on_cluster(case, cluster_of(case, node_of(labels={"pool": "r1"})))) == set()


def test_weights_on_nodes_need_their_disk() -> None:
    case = case_of(storage={"place": "node"})
    small = node_of(allocatable={"ephemeral-storage": 600.0 * GIB})
    assert told(on_cluster(case, cluster_of(case, small))) == {("error", "disk"), PLACEMENT}
    elsewhere = case_of()
    assert told(on_cluster(elsewhere, cluster_of(elsewhere, small))) == set()


def test_an_unknown_driver_is_doubted_but_used() -> None:
    case = case_of()
    bare = node_of()
    labels = {name: value for name, value in bare.labels.items() if "driver" not in name}
    assert told(on_cluster(case, cluster_of(case, replace(bare, labels=labels)))) == {
        ("warning", "driver")
    }


def test_the_older_name_of_the_driver_label_counts_too() -> None:
    case = case_of()
    bare = node_of()
    labels = {name: value for name, value in bare.labels.items() if "driver" not in name}
    labels["nvidia.com/cuda.driver.major"] = "535"
    found = told(on_cluster(case, cluster_of(case, replace(bare, labels=labels))))
    assert ("error", "driver") in found


def test_gpus_without_a_product_label_are_doubted_but_used() -> None:
    case = case_of()
    bare = node_of()
    labels = {name: value for name, value in bare.labels.items() if "product" not in name}
    assert told(on_cluster(case, cluster_of(case, replace(bare, labels=labels)))) == {
        ("warning", "gpu-label")
    }


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (node_of(labels={"nvidia.com/gpu.product": "NVIDIA-H20"}), "the cluster has NVIDIA-H20"),
        (Node("plain", allocatable={"cpu": 8.0}), "no node has a GPU"),
    ],
)
def test_gpus_of_another_kind_are_none(node: Node, sentence: str) -> None:
    case = case_of()
    findings = on_cluster(case, cluster_of(case, node))
    assert told(findings) == {("error", "gpu-product"), PLACEMENT}
    found = next(each for each in findings if each.id == "gpu-product")
    assert sentence in found.found


def test_a_pool_of_two_products_is_doubted() -> None:
    case = case_of()
    other = h100_node("b", labels={"cloud.google.com/gke-nodepool": "h200"})
    findings = on_cluster(case, cluster_of(case, node_of("a"), other))
    assert told(findings) == {("warning", "pool-mixed")}
    # Mixed pools of GPUs that nobody asked for are nobody's business.
    nano = case_of(NANO)
    assert told(on_cluster(nano, cluster_of(nano, node_of("a"), other))) == set()


def test_an_engine_that_spans_nodes_needs_rdma() -> None:
    case = case_of(R1_TWO_NODES)
    labels = {"feature.node.kubernetes.io/rdma.available": "false"}
    nodes = [
        h100_node(x, labels=labels, allocatable={"rdma/hca_shared_devices_a": 0.0}) for x in "ab"
    ]
    assert told(on_cluster(case, cluster_of(case, *nodes))) == {
        ("error", "interconnect"),
        PLACEMENT,
    }
    carded = [h100_node(x, allocatable={"rdma/hca_shared_devices_a": 0.0}) for x in "ab"]
    assert told(on_cluster(case, cluster_of(case, *carded))) == {("warning", "interconnect")}


def test_nodes_that_are_planned_with_ethernet_need_no_rdma(tmp_path: Path) -> None:
    shape = yaml.safe_load((SHIPPED / "2x8xh100.yaml").read_text())
    shape |= {"id": "mine", "link_between_nodes_gb_s": {"value": 12.5, "source": "100 Gbit/s"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(shape))
    case = case_of({**R1_TWO_NODES, "hardware": str(tmp_path / "mine.yaml")})
    none = {"rdma/hca_shared_devices_a": 0.0}
    nodes = [h100_node(name, allocatable=none) for name in "ab"]
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert told(on_cluster(case, cluster_of(case, *nodes, namespace_labels=level))) == set()


def test_what_other_pods_hold_is_not_there() -> None:
    case = case_of()
    busy = node_of(taken={"nvidia.com/gpu": 1.0})
    findings = on_cluster(case, cluster_of(case, busy))
    assert told(findings) == {PLACEMENT}
    found = next(each for each in findings if each.id == "placement")
    assert "7 of 8 GPUs free" in found.found
    assert "other pods hold" in found.mend


def test_small_models_share_a_node() -> None:
    case = case_of({**DISTILL, "replicas": 8})
    assert told(on_cluster(case, cluster_of(case, node_of()))) == set()
    more = case_of({**DISTILL, "replicas": 9})
    assert told(on_cluster(more, cluster_of(more, node_of()))) == {PLACEMENT}


def test_the_upper_bound_of_the_autoscaler_is_only_doubted() -> None:
    scaling = {"min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 16}
    case = case_of({**R1, "autoscaling": scaling})
    findings = on_cluster(case, cluster_of(case, node_of("a"), node_of("b")))
    assert told(findings) == {("warning", "scale-room")}
    assert "1 of 3 pods" in next(each for each in findings if each.id == "scale-room").found


def test_scaling_from_zero_still_needs_room_for_one() -> None:
    scaling = {"min_replicas": 0, "max_replicas": 1, "target_ongoing_requests": 16}
    case = case_of({**R1, "autoscaling": scaling})
    assert case.demands[0].replicas == 1


def test_amd_gpus_are_known_by_their_own_names() -> None:
    node = Node(
        "a",
        labels={"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
        allocatable={"amd.com/gpu": 8.0},
    )
    assert (node.gpus, node.product) == (8, "AMD_Instinct_MI300X_OAM")


def test_models_on_processors_go_to_any_node() -> None:
    case = case_of(NANO)
    plain = Node("a", allocatable={"cpu": 4.0, "memory": 8.0 * GIB})
    assert told(on_cluster(case, cluster_of(case, plain))) == set()
    small = replace(plain, allocatable={"cpu": 0.2, "memory": 8.0 * GIB})
    assert told(on_cluster(case, cluster_of(case, small))) == {PLACEMENT}


@pytest.mark.parametrize(
    ("toleration", "borne"),
    [
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "a", "value": "b"}, True),
        ({"key": "a", "value": "c"}, False),
        ({"key": "b", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "a", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "a", "operator": "Exists", "effect": "NoSchedule"}, True),
    ],
)
def test_tolerations_as_kubernetes_reads_them(toleration: dict[str, str], borne: bool) -> None:
    read = Toleration.model_validate(toleration)
    assert tolerates(read, Taint("a", "b", "NoSchedule")) is borne


def test_nodes_that_cannot_be_seen_are_doubted() -> None:
    case = case_of()
    refused = cluster_of(case, nodes=None, refusals={"nodes": "nodes is forbidden"})
    findings = on_cluster(case, refused)
    assert all(each.severity == "warning" for each in wrong(findings))
    assert "nodes is forbidden" in next(each for each in findings if each.id == "placement").found


def test_pods_that_cannot_be_seen_are_doubted() -> None:
    case = case_of()
    assert told(on_cluster(case, cluster_of(case, pods_seen=False))) == {("warning", "pods-seen")}
