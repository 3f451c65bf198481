"""What is told of a cluster beside its nodes, with one thing wrong at a time."""

from typing import Any

import pytest

from serving.preflight.cluster_facts import Limits, Operator, Quota, StorageClass
from serving.preflight.cluster_probe import REGISTRY_SECRET
from serving.preflight.namespace_checks import asked_of_quotas
from tests.unit.serving.preflight.right import (
    DISTILL,
    GIB,
    LLAMA,
    NANO,
    R1,
    R1_TWO_NODES,
    case_of,
    cluster_of,
    h100_node,
    node_of,
    on_cluster,
    told,
)

RAY = "ray.io"
KUBERAY = {"runtime": "kuberay"}
EBS = StorageClass("fast", "ebs.csi.aws.com", default=True, expandable=True)
ODD = StorageClass("odd", "example.com/disks", default=True, expandable=True)


def found(check: str, case_fields: dict[str, Any], **changes: Any) -> str:
    """The sentence of the only thing that is wrong."""
    case = case_of(**case_fields)
    findings = on_cluster(case, cluster_of(case, **changes))
    assert {name for _, name in told(findings)} == {check}
    return next(each.found for each in findings if each.id == check and each.mend)


@pytest.mark.parametrize(
    ("check", "fields", "changes", "sentence"),
    [
        ("kubernetes-version", {}, {"version": (1, 27)}, "1.27 is too old"),
        ("ray-operator", KUBERAY, {"ray_operators": ()}, "no Deployment"),
        (
            "ray-operator",
            KUBERAY,
            {"ray_operators": (Operator("a/b", "c", available=False),)},
            "not available",
        ),
        ("runtime-class", {"runtime_class": "nvidia"}, {}, "doesn't exist"),
        ("storage-class", {}, {"storage_classes": ()}, "no StorageClass is the default"),
        ("storage-class", {"storage": {"storage_class": "x"}}, {}, "there are: shared"),
        ("pull-secret", {"pull_secret": "s"}, {"secrets": {"s": None}}, "doesn't exist"),
        ("pull-secret", {"pull_secret": "s"}, {"secrets": {"s": "another"}}, "no registry"),
        ("pull-secret", {"pull_secret": "s"}, {"refusals": {"secrets": "no"}}, "looked at: no"),
        ("hub-token", {"hub_token_secret": "s"}, {"secrets": {"s": None}}, "doesn't exist"),
        ("image", {"image": "a.io/r1"}, {}, "tag moves"),
        ("image", {"image": "a.io:5000/r1:latest"}, {}, "tag moves"),
        ("image", {"image": "a.io/r1:1"}, {"pull": "not found"}, "can't be pulled: not found"),
        ("admission", {}, {"admission": {"deepseek-r1": "webhook says no"}}, "webhook says no"),
        ("rbac", {}, {"access": None}, "can't be looked at"),
        ("quota", {}, {"quotas": None}, "can't be looked at"),
        ("limit-range", {}, {"limits": None}, "can't be looked at"),
        ("ray-operator", KUBERAY, {"ray_operators": None}, "can't be looked at"),
        ("kubernetes-version", {}, {"version": None}, "can't be looked at"),
    ],
)
def test_one_thing_wrong(
    check: str, fields: dict[str, Any], changes: dict[str, Any], sentence: str
) -> None:
    assert sentence in found(check, fields, **changes)


def test_kuberay_is_missing_too_old_or_too_old_in_its_definition() -> None:
    case = case_of(**KUBERAY)
    apis = dict(cluster_of(case).apis or {})
    without = {key: value for key, value in apis.items() if key[0] != RAY}
    assert "doesn't know it" in found("ray-api", KUBERAY, apis=without)
    alpha = {**without, (RAY, "v1alpha1"): frozenset({"rayservices"})}
    assert "served as v1alpha1, needed as v1" in found("ray-api", KUBERAY, apis=alpha)
    no_service = {**apis, (RAY, "v1"): frozenset({"rayclusters"})}
    assert "doesn't know it" in found("ray-api", KUBERAY, apis=no_service)
    fields = {"rayservices.ray.io": frozenset({"serveConfigV2"})}
    assert "rayClusterDeletionDelaySeconds" in found("ray-api", KUBERAY, spec_fields=fields)


def test_without_its_runtime_nothing_of_kuberay_is_missed() -> None:
    case = case_of(runtime="plain")
    assert told(on_cluster(case, cluster_of(case, apis={}, ray_operators=()))) == set()


def test_a_definition_that_may_not_be_read_is_taken_as_it_is_served() -> None:
    case = case_of(**KUBERAY)
    assert told(on_cluster(case, cluster_of(case, spec_fields={}))) == set()


@pytest.mark.parametrize(
    ("check", "field", "group"),
    [
        ("monitoring-api", "monitoring", "monitoring.coreos.com"),
        ("gateway-api", "gateway_api", "gateway.networking.k8s.io"),
        ("keda-api", "keda", "keda.sh"),
    ],
)
def test_an_api_is_only_missed_where_it_is_asked_for(check: str, field: str, group: str) -> None:
    asked = case_of(**{field: True})
    apis = {key: value for key, value in (cluster_of(asked).apis or {}).items() if key[0] != group}
    assert told(on_cluster(asked, cluster_of(asked, apis=apis))) == {("error", check)}
    not_asked = case_of(**{field: False})
    assert told(on_cluster(not_asked, cluster_of(not_asked, apis=apis))) == set()


def test_every_denied_verb_is_named() -> None:
    case = case_of(**KUBERAY)
    access = dict(cluster_of(case).access or {})
    access[RAY, "rayservices", "create"] = access[RAY, "rayservices", "patch"] = False
    findings = on_cluster(case, cluster_of(case, access=access))
    assert told(findings) == {("error", "rbac")}
    denied = next(each for each in findings if each.id == "rbac")
    assert denied.subject == "rayservices.ray.io"
    assert "create, patch" in denied.found


def test_a_missing_namespace_is_doubted() -> None:
    assert "doesn't exist" in found("namespace", {}, namespace=False)


def test_volumes_that_one_node_mounts_are_enough_for_one_pod() -> None:
    case = case_of()
    assert told(on_cluster(case, cluster_of(case, storage_classes=(EBS,)))) == set()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (EBS, {("error", "storage-access")}),
        (ODD, {("warning", "storage-access")}),
        (StorageClass("n", "cephfs.csi.ceph.com", default=True, expandable=True), set()),
    ],
)
def test_volumes_that_several_nodes_mount(
    chosen: StorageClass, expected: set[tuple[str, str]]
) -> None:
    case = case_of({**R1, "replicas": 2})
    cluster = cluster_of(case, node_of("a"), node_of("b"), storage_classes=(chosen,))
    assert told(on_cluster(case, cluster)) == expected


def test_without_a_claim_no_class_is_needed() -> None:
    for case in (case_of(storage={"place": "node"}), case_of({**NANO, "replicas": 2})):
        assert told(on_cluster(case, cluster_of(case, storage_classes=()))) == set()
        assert "requests.storage" not in asked_of_quotas(case)


@pytest.mark.parametrize(
    ("hard", "used", "expected"),
    [
        ({"requests.nvidia.com/gpu": 8.0}, {}, set()),
        ({"requests.nvidia.com/gpu": 8.0}, {"requests.nvidia.com/gpu": 1.0}, {("error", "quota")}),
        ({"limits.memory": 16.0 * GIB}, {}, {("error", "quota")}),
        ({"pods": 3.0}, {}, {("error", "quota")}),
        ({"requests.storage": 100.0 * GIB}, {}, {("error", "quota")}),
        ({"count/ingresses": 0.0}, {}, set()),
    ],
)
def test_quotas(
    hard: dict[str, float], used: dict[str, float], expected: set[tuple[str, str]]
) -> None:
    case = case_of()
    assert told(on_cluster(case, cluster_of(case, quotas=(Quota("q", hard, used),)))) == expected


def test_a_quota_of_some_pods_is_only_doubted() -> None:
    case = case_of()
    quota = Quota("q", {"pods": 0.0}, {}, scoped=True)
    assert told(on_cluster(case, cluster_of(case, quotas=(quota,)))) == {("warning", "quota")}


def test_what_is_asked_of_quotas_adds_up() -> None:
    asked = asked_of_quotas(case_of({**R1, "replicas": 2}, {**DISTILL, "replicas": 3}))
    assert asked["requests.nvidia.com/gpu"] == 2 * 8 + 3 * 1
    assert asked["pods"] == asked["count/pods"] == 4 + 2 + 3


def test_a_limit_range_below_one_pod() -> None:
    limits = (Limits("l", {"memory": 32.0 * GIB}),)
    assert "at most 32 GiB" in found("limit-range", {}, limits=limits)


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_rdma_needs_a_privileged_namespace(level: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": level}
    case = case_of(R1_TWO_NODES)
    nodes = [h100_node("a"), h100_node("b")]
    findings = on_cluster(case, cluster_of(case, *nodes, namespace_labels=labels))
    assert told(findings) == {("error", "pod-security")}
    one = case_of()
    assert told(on_cluster(one, cluster_of(one, namespace_labels=labels))) == set()


def test_settings_of_the_deployment_are_looked_at() -> None:
    case = case_of(environment={"NCCL_P2P_DISABLE": "1", "VLLM_ATTENTION_BACKEND": "X"})
    assert told(on_cluster(case, cluster_of(case))) == {
        ("warning", "nccl"),
        ("warning", "engine-settings"),
    }


def test_terms_of_a_base_model_have_to_be_accepted() -> None:
    case = case_of(LLAMA)
    nodes = [h100_node("a")]
    findings = on_cluster(case, cluster_of(case, *nodes))
    assert told(findings) == {("warning", "licence")}
    assert (
        "Llama 3.1 Community License"
        in next(each for each in findings if each.id == "licence").mend
    )
    accepted = case_of(LLAMA, accepted_licences=("llama 3.1 community license",))
    assert told(on_cluster(accepted, cluster_of(accepted, *nodes))) == set()


def test_right_secrets_and_images_are_well() -> None:
    case = case_of(pull_secret="s", image="a.io/r1:1", runtime_class="nvidia")
    cluster = cluster_of(
        case, secrets={"s": REGISTRY_SECRET}, pull="", runtime_classes=frozenset({"nvidia"})
    )
    findings = on_cluster(case, cluster)
    assert told(findings) == set()
    assert next(each for each in findings if each.id == "image").found == "it was pulled"


def test_an_image_by_digest_or_on_a_node_is_well() -> None:
    digest = "a.io/r1@sha256:" + "0" * 64
    case = case_of(image=digest)
    assert told(on_cluster(case, cluster_of(case))) == set()
    here = case_of(image="a.io/r1:1")
    cluster = cluster_of(here, node_of(images=frozenset({"a.io/r1:1"})))
    findings = on_cluster(here, cluster)
    assert next(each for each in findings if each.id == "image").found == "it lies on a node"
