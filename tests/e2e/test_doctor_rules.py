"""`r1 doctor` on a cluster whose rules, rights and definitions are wrong, each in one way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.preflight.finding import REFUSED, WARNED, WELL
from tests.e2e.doctor import H100, KUBERAY, ONE_NODE, RDMA, TWO_NODES, Doctor
from tests.e2e.playground import Playground, bare, wait_until

MARKER = "aHVudGVyMg=="


def test_a_quota_that_forbids_the_gpus(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.place.node()
    space = f"/api/v1/namespaces/{home[1]}/resourcequotas"
    hard = {"requests.nvidia.com/gpu": "4"}
    doctor.place.make(space, {"metadata": {"name": "small"}, "spec": {"hard": hard}})
    doctor.look(*ONE_NODE, *home)
    assert doctor.status == REFUSED
    assert "quota" in doctor.ids("error") <= {"quota", "admission"}
    assert doctor.of("quota")[0]["subject"] == "small"


def test_a_limit_range_that_forbids_the_memory(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.place.node()
    space = f"/api/v1/namespaces/{home[1]}/limitranges"
    limits = [{"type": "Container", "max": {"memory": "32Gi"}}]
    doctor.place.make(space, {"metadata": {"name": "small"}, "spec": {"limits": limits}})
    doctor.look(*ONE_NODE, *home)
    assert doctor.status == REFUSED
    assert "limit-range" in doctor.ids("error") <= {"limit-range", "admission"}


def test_a_restricted_namespace_for_an_engine_that_spans_nodes(
    doctor: Doctor, home: tuple[str, ...]
) -> None:
    for _ in range(2):
        doctor.place.node(H100, RDMA)
    strict = doctor.place.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
    doctor.look(*TWO_NODES, *home, "-n", strict)
    assert doctor.status == REFUSED
    assert doctor.ids("error") == {"pod-security", "admission"}
    assert "IPC_LOCK" in doctor.of("admission")[0]["found"]
    # An engine on one node asks for nothing that the level forbids.
    doctor.place.node()
    doctor.look(*ONE_NODE, *home, "-n", strict, "--strict")
    assert doctor.status == WELL, doctor.text


def test_a_storage_class_that_is_not_there(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.place.node()
    doctor.look(*ONE_NODE, *home, "--storage-class", "fast")
    assert doctor.status == REFUSED
    assert doctor.ids("error") == {"storage-class"}


def test_a_storage_class_that_nodes_cannot_share(doctor: Doctor, home: tuple[str, ...]) -> None:
    for _ in range(2):
        doctor.place.node()
    doctor.look(*ONE_NODE, "--replicas", "2", *home, "--storage-class", "local-path")
    assert doctor.status == REFUSED
    assert doctor.ids("error") == {"storage-access"}


def test_a_namespace_that_is_not_there_is_doubted(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.place.node()
    doctor.look(*ONE_NODE, *home, "-n", "r1-nowhere", "--strict")
    assert doctor.status == WARNED
    assert doctor.ids("warning") == {"namespace"}


def test_a_secret_is_looked_for_and_never_read(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.place.node()
    doctor.look(*ONE_NODE, *home, "--pull-secret", "registry")
    assert doctor.ids("error") == {"pull-secret"}
    space = f"/api/v1/namespaces/{home[1]}/secrets"
    doctor.place.make(space, {"metadata": {"name": "plain"}, "data": {"password": MARKER}})
    doctor.look(*ONE_NODE, *home, "--pull-secret", "plain")
    assert doctor.ids("error") == {"pull-secret"}
    assert "no registry secret" in doctor.of("pull-secret")[0]["found"]
    assert MARKER not in doctor.text
    doctor.look(*ONE_NODE, *home, "--hub-token-secret", "plain")
    assert doctor.of("hub-token")[0]["severity"] == "ok"
    assert MARKER not in doctor.text


def test_an_image_is_pulled_for_a_proof(doctor: Doctor, home: tuple[str, ...]) -> None:
    doctor.place.node()
    doctor.look(*ONE_NODE, *home, "--image", "busybox:1", "--pull", "60")
    assert doctor.of("image")[0]["found"] == "it was pulled"
    doctor.look(*ONE_NODE, *home, "--image", "registry.invalid/r1:0.1.0", "--pull", "60")
    assert doctor.ids("error") == {"image"}
    pods = doctor.place.client.ask("GET", f"/api/v1/namespaces/{home[1]}/pods")
    left = [each for each in pods["items"] if "deletionTimestamp" not in each["metadata"]]
    assert left == []


def test_a_guest_is_told_what_he_may_not(
    doctor: Doctor, home: tuple[str, ...], tmp_path: Path
) -> None:
    doctor.place.node()
    guest = doctor.place.account(home[1], tmp_path)
    doctor.look(*ONE_NODE, *home, *KUBERAY, kubeconfig=guest)
    assert doctor.status == REFUSED
    assert doctor.ids("error") == {"rbac"}
    assert "rayservices.ray.io" in {each["subject"] for each in doctor.of("rbac")}
    # What he may not see is doubted, not guessed.
    assert {"placement", "quota", "storage-class"} <= doctor.ids("warning")
    assert "ray-api" in doctor.ids("ok")


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RAY_SERVICES = "rayservices.ray.io"


@pytest.fixture
def definition(place: Playground) -> Iterator[dict[str, Any]]:
    """KubeRay's definition of a RayService; as it was afterwards."""
    path = f"{DEFINITIONS}/{RAY_SERVICES}"
    found = bare(place.client.ask("GET", path))
    found.pop("status", None)
    yield found
    if place.exists(path):
        version = place.client.ask("GET", path)["metadata"]["resourceVersion"]
        found["metadata"]["resourceVersion"] = version
        place.client.ask("PUT", path, body=found)
    else:
        place.client.ask("POST", DEFINITIONS, body=found)
    wait_until("RayServices are back", lambda: "rayservices" in _ray_resources(place))


def _ray_resources(place: Playground) -> set[str]:
    listed = place.client.ask("GET", "/apis/ray.io/v1")
    return {each["name"] for each in listed["resources"]}


def test_kuberay_that_is_too_old(
    doctor: Doctor, home: tuple[str, ...], definition: dict[str, Any]
) -> None:
    doctor.place.node()
    path = f"{DEFINITIONS}/{RAY_SERVICES}"
    old = doctor.place.client.ask("GET", path)
    for version in old["spec"]["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["properties"].pop("rayClusterDeletionDelaySeconds", None)
    doctor.place.client.ask("PUT", path, body=old)
    doctor.look(*ONE_NODE, *home, *KUBERAY)
    assert doctor.status == REFUSED
    assert doctor.ids("error") == {"ray-api"}
    assert "too old" in doctor.of("ray-api")[0]["found"]


def test_kuberay_that_is_not_there(
    doctor: Doctor, home: tuple[str, ...], definition: dict[str, Any]
) -> None:
    doctor.place.node()
    doctor.place.client.ask("DELETE", f"{DEFINITIONS}/{RAY_SERVICES}")
    gone = "RayServices are not known any more"
    wait_until(gone, lambda: "rayservices" not in _ray_resources(doctor.place))
    doctor.look(*ONE_NODE, *home)
    assert not doctor.ids("error")
    doctor.look(*ONE_NODE, *home, *KUBERAY)
    assert doctor.status == REFUSED
    assert doctor.ids("error") == {"ray-api"}
    assert doctor.of("ray-api")[0]["subject"] == RAY_SERVICES
