"""A look at a cluster: which questions are asked, and what becomes of their answers."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from serving.preflight.check import Case
from serving.preflight.cluster_client import METADATA_ONLY, CouldNotLook, Refused
from serving.preflight.cluster_facts import Taint
from serving.preflight.cluster_probe import REGISTRY_SECRET, ClusterProbe
from tests.unit.serving.preflight.right import GIB, R1_TWO_NODES, case_of, on_cluster, told

SPACE = "/api/v1/namespaces/r1"
NODE = {
    "metadata": {"name": "a", "labels": {"nvidia.com/gpu.product": "NVIDIA-H200"}},
    "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}], "unschedulable": True},
    "status": {
        "allocatable": {"cpu": "1500m", "memory": "2Gi", "nvidia.com/gpu": "8", "odd": "x"},
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "DiskPressure", "status": "True"},
            {"type": "PIDPressure", "status": "False"},
        ],
        "images": [{"names": ["a.io/r1:1"]}, {"names": None}],
    },
}
ONE_GPU = {"resources": {"requests": {"nvidia.com/gpu": "1", "memory": "1Gi"}}}


class FakeCluster:
    """Answers by method and path; what it doesn't know is forbidden."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, dict[str, str], Any, str]] = []

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Any = None,
        accept: str = "application/json",
    ) -> Any:
        self.asked.append((method, path, dict(query), body, accept))
        answer = self.answers.get(f"{method} {path}", Refused(403, f"{path} is forbidden"))
        if callable(answer):
            answer = answer(dict(query), body)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return json.loads(json.dumps(answer))


def answers_of(**more: Any) -> dict[str, Any]:
    allowed = {"status": {"allowed": True}}
    return {
        "GET /version": {"major": "1", "minor": "34+"},
        "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews": allowed,
        f"GET {SPACE}": {"metadata": {"name": "r1", "labels": {"team": "x"}}},
        **more,
    }


def look(case: Case, cluster: FakeCluster, **options: Any) -> Any:
    return ClusterProbe(cluster, case.deployment, case.demands, **options).look()


def test_a_cluster_that_does_not_answer_ends_the_look() -> None:
    case = case_of()
    with pytest.raises(CouldNotLook, match=r"can't be looked at: Unauthorized; check"):
        look(case, FakeCluster({"GET /version": Refused(401, "Unauthorized")}))


def test_a_guest_who_may_nothing_gets_doubts_and_no_exception() -> None:
    case = case_of(pull_secret="s")
    review = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answers: dict[str, Any] = {
        "GET /version": {"major": "1", "minor": "34"},
        review: {"status": {}},
    }
    found = look(case, FakeCluster(answers))
    assert found.nodes is None
    assert "/api/v1/nodes is forbidden" in found.refusals["nodes"]
    assert {severity for severity, _ in told(on_cluster(case, found))} == {"error", "warning"}
    assert ("error", "rbac") in told(on_cluster(case, found))


def test_nodes_and_what_pods_hold_of_them() -> None:
    pods = [
        {"spec": {"nodeName": "a", "containers": [ONE_GPU, ONE_GPU]}, "status": {}},
        {"spec": {"nodeName": "a", "containers": [ONE_GPU]}, "status": {"phase": "Succeeded"}},
        {"spec": {"containers": [ONE_GPU]}},
    ]
    answers = answers_of(
        **{"GET /api/v1/nodes": {"items": [NODE]}, "GET /api/v1/pods": {"items": pods}}
    )
    found = look(case_of(), FakeCluster(answers))
    (node,) = found.nodes
    assert (node.name, node.ready, node.cordoned) == ("a", True, True)
    assert node.pressures == ("DiskPressure",)
    assert node.taints == (Taint("nvidia.com/gpu", "", "NoSchedule"),)
    assert node.allocatable == {"cpu": 1.5, "memory": 2.0 * GIB, "nvidia.com/gpu": 8.0}
    assert (node.gpus, node.free_gpus, node.free("memory")) == (8, 6, 0.0)
    assert node.images == {"a.io/r1:1"}
    assert found.pods_seen
    assert found.version == (1, 34)


def test_lists_are_read_page_by_page() -> None:
    def nodes(query: dict[str, str], _: Any) -> Any:
        more = {"metadata": {"continue": "next"}} if "continue" not in query else {}
        return {"items": [NODE], **more}

    found = look(case_of(), FakeCluster(answers_of(**{"GET /api/v1/nodes": nodes})))
    assert len(found.nodes) == 2


def test_apis_are_found_by_discovery_and_fields_by_definitions() -> None:
    group = {"name": "ray.io", "versions": [{"version": "v1"}, {"version": "v1alpha1"}]}
    schema: dict[str, Any] = {"properties": {"spec": {"properties": {"serveConfigV2": {}}}}}
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rayservices.ray.io"
    answers = answers_of(
        **{
            "GET /apis": {"groups": [group, {"name": "apps"}]},
            "GET /apis/ray.io/v1": {"resources": [{"name": "rayservices"}]},
            f"GET {path}": {"spec": {"versions": versions}},
        }
    )
    case = case_of(runtime="kuberay")
    found = look(case, FakeCluster(answers))
    assert found.apis == {
        ("ray.io", "v1"): frozenset({"rayservices"}),
        ("ray.io", "v1alpha1"): frozenset(),
    }
    assert found.spec_fields == {"rayservices.ray.io": frozenset({"serveConfigV2"})}
    answers[f"GET {path}"] = Refused(404, "not found")
    assert look(case, FakeCluster(answers)).spec_fields == {}


def test_a_namespace_that_is_not_there() -> None:
    cluster = FakeCluster(answers_of(**{f"GET {SPACE}": Refused(404, "not found")}))
    found = look(case_of(), cluster)
    assert found.namespace is False
    assert found.admission is None


def test_every_verb_is_asked_for_in_the_namespace() -> None:
    case = case_of(namespace="mine", runtime="kuberay")
    cluster = FakeCluster(answers_of())
    found = look(case, cluster)
    asked = [
        body["spec"]["resourceAttributes"]
        for _, _, _, body, _ in cluster.asked
        if body and "spec" in body and "resourceAttributes" in body["spec"]
    ]
    assert {each["namespace"] for each in asked} == {"mine"}
    assert {
        "namespace": "mine",
        "group": "ray.io",
        "resource": "rayservices",
        "verb": "create",
    } in asked
    assert all(found.access.values())


def test_secrets_are_asked_for_without_their_contents() -> None:
    def secrets(query: dict[str, str], _: Any) -> Any:
        there = {
            f"metadata.name=good,type={REGISTRY_SECRET}",
            "metadata.name=good",
            "metadata.name=token",
        }
        return {"items": [{"metadata": {}}] if query["fieldSelector"] in there else []}

    case = case_of(pull_secret="good", hub_token_secret="token")
    cluster = FakeCluster(answers_of(**{f"GET {SPACE}/secrets": secrets}))
    assert look(case, cluster).secrets == {"good": REGISTRY_SECRET, "token": "another"}
    asked = [accept for _, path, _, _, accept in cluster.asked if path.endswith("/secrets")]
    assert set(asked) == {METADATA_ONLY}
    assert not [path for _, path, _, _, _ in cluster.asked if "/secrets/" in path]
    absent = case_of(pull_secret="other")
    assert look(absent, cluster).secrets == {"other": None}


def test_a_dry_run_asks_whether_a_pod_would_be_taken() -> None:
    case = case_of(R1_TWO_NODES)
    cluster = FakeCluster(
        answers_of(**{f"POST {SPACE}/pods": Refused(403, "violates PodSecurity")})
    )
    assert look(case, cluster).admission == {"deepseek-r1": "violates PodSecurity"}
    ((query, pod),) = [
        (query, body)
        for _, path, query, body, _ in cluster.asked
        if path.endswith("/pods") and body
    ]
    assert query == {"dryRun": "All"}
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert container["securityContext"]["capabilities"]["add"] == ["IPC_LOCK"]


def test_nothing_is_ever_changed_without_being_asked() -> None:
    cluster = FakeCluster(answers_of(**{f"POST {SPACE}/pods": {}}))
    look(case_of(image="a.io/r1:1"), cluster)
    harmless = ("selfsubjectaccessreviews", "dryRun")
    changing = [
        (method, path)
        for method, path, query, _, _ in cluster.asked
        if method != "GET" and not any(each in f"{path}{query}" for each in harmless)
    ]
    assert changing == []


def container(state: Any, **more: Any) -> Any:
    return {"status": {"containerStatuses": [{"state": state, **more}]}}


WAITING = container({"waiting": {"reason": "ContainerCreating"}})
PULLED = container({}, imageID="sha256:1")
FAILED = container({"waiting": {"reason": "ErrImagePull", "message": "no such host"}})


@pytest.mark.parametrize(
    ("states", "result"),
    [
        ([WAITING, PULLED], ""),
        ([{}, FAILED], "no such host"),
        ([WAITING], "after 2 s it was still pulling"),
        ([{}], "after 2 s it was still waiting for a node"),
    ],
)
def test_a_pod_that_pulls_is_watched_and_deleted(states: list[Any], result: str) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    answers = answers_of(
        **{
            f"POST {SPACE}/pods": {"metadata": {"name": "r1-doctor-x"}},
            f"GET {SPACE}/pods/r1-doctor-x": states,
            f"DELETE {SPACE}/pods/r1-doctor-x": {},
        }
    )
    cluster = FakeCluster(answers)
    case = case_of(image="a.io/r1:1")
    found = look(case, cluster, pull_for_s=2.0, clock=lambda: now, sleep=sleep)
    assert found.pull == result
    assert cluster.asked[-1][:2] == ("DELETE", f"{SPACE}/pods/r1-doctor-x")


def test_a_pod_that_may_not_be_made_is_a_doubt() -> None:
    case = case_of(image="a.io/r1:1")
    found = look(case, FakeCluster(answers_of()), pull_for_s=2.0)
    assert found.pull is None
    image = [each for each in on_cluster(case, found) if each.id == "image"]
    assert [each.severity for each in image] == ["warning"]
