"""`r1 doctor` on a cluster whose nodes are wrong, each in one way, and on right ones."""

from dataclasses import dataclass

import pytest

from serving.preflight.finding import REFUSED, WARNED, WELL
from tests.e2e.doctor import H100, KUBERAY, ONE_NODE, RDMA, TWO_NODES, Doctor
from tests.e2e.playground import Change, cordoned, labelled, product, tainted, with_amount

POOL = labelled("cloud.google.com/gke-nodepool", "pool-1")


def test_a_right_cluster_has_nothing_to_mend(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.place.node()
    doctor.look(*ONE_NODE, *home, *KUBERAY, "--strict")
    assert doctor.status == WELL, doctor.text
    assert doctor.ids("error") == doctor.ids("warning") == set()
    assert {"placement", "ray-api", "ray-operator", "rbac", "quota"} <= doctor.ids("ok")


def test_two_right_nodes_hold_an_engine_that_spans_them(
    doctor: Doctor, home: tuple[str, ...]
) -> None:
    for _ in range(2):
        doctor.place.node(H100, RDMA)
    doctor.look(*TWO_NODES, *home, "--strict")
    assert doctor.status == WELL, doctor.text


def test_the_real_node_is_right_for_a_nano_model(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.look("r1-nano", *home, "--strict")
    assert doctor.status == WELL, doctor.text


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong with nodes, and the finding that must tell it."""

    check: str
    nodes: tuple[tuple[Change, ...], ...]
    words: tuple[str, ...] = ONE_NODE
    ready: bool = True


WRONG = {
    "too few GPUs on a node": Wrong("gpu-count", ((with_amount("nvidia.com/gpu", "4"),),) * 2),
    "no node with GPUs": Wrong("gpu-product", ()),
    "another product": Wrong("gpu-product", ((product("NVIDIA-A100-SXM4-80GB", 81920),),)),
    "an old driver": Wrong("driver", ((labelled("nvidia.com/cuda.driver.major", "570"),),)),
    "little host memory": Wrong("host-memory", ((with_amount("memory", "48Gi"),),)),
    "a taint": Wrong("taint", ((tainted("dedicated", "training"),),)),
    "not ready": Wrong("node-ready", ((),), ready=False),
    "cordoned": Wrong("node-cordoned", ((cordoned,),)),
    "GPUs with too little memory": Wrong("gpu-memory", ((product("NVIDIA-H200", 71885),),)),
    "sliced GPUs": Wrong("gpu-sliced", ((product("NVIDIA-H200-MIG-3g.71gb", 71424),),)),
    "shared GPUs": Wrong("gpu-sliced", ((labelled("nvidia.com/gpu.replicas", "4"),),)),
    "no device plugin": Wrong("gpu-plugin", ((with_amount("nvidia.com/gpu", "0"),),)),
    "no RDMA between two nodes": Wrong("interconnect", ((H100,), (H100,)), TWO_NODES),
    "one node of two": Wrong("placement", ((H100, RDMA),), TWO_NODES),
    "no disk for the weights": Wrong(
        "disk",
        ((with_amount("ephemeral-storage", "500Gi"),),),
        (*ONE_NODE, "--weights-on", "node"),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_nodes_is_told(name: str, doctor: Doctor, home: tuple[str, ...]) -> None:
    wrong = WRONG[name]
    for changes in wrong.nodes:
        doctor.place.node(*changes, ready=wrong.ready)
    doctor.look(*wrong.words, *home)
    assert doctor.status == REFUSED
    # A node with less memory a GPU is a sliced one by its product too.
    assert wrong.check in doctor.ids("error") <= {wrong.check, "placement", "gpu-memory"}
    found = doctor.of(wrong.check)[0]
    assert found["found"]
    assert found["mend"]


def test_a_driver_without_label_is_doubted(doctor: Doctor, home: tuple[str, ...]) -> None:
    name = doctor.place.node(labelled("nvidia.com/cuda.driver.major", None))
    doctor.look(*ONE_NODE, *home, "--strict")
    assert doctor.status == WARNED
    assert doctor.ids("warning") == {"driver"}
    assert doctor.of("driver")[0]["subject"] == name


def test_a_pool_of_two_products_is_doubted(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.place.node(POOL)
    doctor.place.node(POOL, H100)
    doctor.look(*ONE_NODE, *home, "--strict")
    assert doctor.status == WARNED
    assert doctor.ids("warning") == {"pool-mixed"}


def test_gpus_that_other_pods_hold_are_not_there(doctor: Doctor, home: tuple[str, ...]) -> None:
    node = doctor.place.node()
    container = {
        "name": "other",
        "image": "busybox:1",
        "resources": {"limits": {"nvidia.com/gpu": "4"}},
    }
    spec = {
        "nodeName": node,
        "containers": [container],
        "tolerations": [{"operator": "Exists"}],
    }
    space = f"/api/v1/namespaces/{doctor.place.namespace()}/pods"
    doctor.place.make(space, {"metadata": {"name": "other"}, "spec": spec})
    doctor.look(*ONE_NODE, *home)
    assert doctor.ids("error") == {"placement"}
    assert "4 of 8 GPUs free" in doctor.of("placement")[0]["found"]
    assert "other pods hold" in doctor.of("placement")[0]["mend"]


def test_a_taint_that_is_tolerated_is_none(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.place.node(tainted("dedicated", "training"))
    doctor.look(*ONE_NODE, *home, "--toleration", "dedicated=training:NoSchedule", "--strict")
    assert doctor.status == WELL, doctor.text
