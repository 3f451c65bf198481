"""What every pod of the chart keeps to."""

import re
from typing import Any

import pytest

from tests.chart.helm import VALUES, Document, Helm, containers, templates
from tests.chart.podsecurity import violations

FILES = [pytest.param((), id="default")] + [
    pytest.param((file,), id=f"{file.parent.name}-{file.stem}") for file in VALUES
]
RAY = ("ray-head", "ray-worker")


@pytest.fixture(params=FILES)
def pods(helm: Helm, request: pytest.FixtureRequest) -> list[tuple[str, Document]]:
    found = list(templates(helm.render(*request.param)))
    assert found
    return found


def component(pod: Document) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def test_pods_keep_to_podsecurity_restricted(pods: list[tuple[str, Document]]) -> None:
    for where, pod in pods:
        if component(pod) not in RAY:
            assert violations(pod) == [], where


def test_ray_keeps_to_it_but_for_what_the_values_ask(pods: list[tuple[str, Document]]) -> None:
    # Pinned memory for RDMA, and a cache on the node's own disk: both only where values say so.
    asked = re.compile(r"capability IPC_LOCK$|^volume cache is a hostPath$")
    for where, pod in pods:
        if component(pod) in RAY:
            assert [each for each in violations(pod) if not asked.search(each)] == [], where


def test_every_image_has_a_tag(pods: list[tuple[str, Document]]) -> None:
    for where, pod in pods:
        for each in containers(pod):
            name, _, tag = each["image"].partition("@")[0].rpartition(":")
            assert name, where
            assert tag not in ("", "latest"), where
            assert "/" not in tag, where


def test_every_container_says_what_it_needs(pods: list[tuple[str, Document]]) -> None:
    for where, pod in pods:
        for each in containers(pod):
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(each["resources"][kind]), (where, each["name"])


def test_no_file_system_is_written_to(pods: list[tuple[str, Document]]) -> None:
    for where, pod in pods:
        for each in containers(pod):
            assert each["securityContext"]["readOnlyRootFilesystem"] is True, where


def test_no_pod_learns_of_the_services_around_it(pods: list[tuple[str, Document]]) -> None:
    for where, pod in pods:
        assert pod["spec"]["enableServiceLinks"] is False, where


def test_only_those_who_ask_the_kubernetes_api_have_a_token(
    pods: list[tuple[str, Document]],
) -> None:
    asking = {"secrets", "controller", "ray-head"}
    for where, pod in pods:
        with_token = pod["spec"].get("automountServiceAccountToken") is not False
        assert not with_token or component(pod) in asking, where
        # KubeRay gives the head an account of its own, with what its autoscaler needs.
        if where != "RayService/r1 head":
            assert pod["spec"].get("serviceAccountName", "default") != "default", where


def test_who_has_keys_in_its_environment_waits_for_them_as_a_mount(
    pods: list[tuple[str, Document]],
) -> None:
    """The kubelet tries a mount again within seconds, a container only after a minute."""
    for where, pod in pods:
        for each in containers(pod):
            named = [
                variable["valueFrom"]["secretKeyRef"]["name"]
                for variable in each.get("env", ())
                if "secretKeyRef" in variable.get("valueFrom", {})
            ]
            # `helm test` runs when all is there.
            if "r1-secrets" in named and component(pod) != "test":
                mounts = {mount["name"] for mount in each["volumeMounts"]}
                waits = [
                    name
                    for volume in pod["spec"]["volumes"]
                    if (name := volume["name"]) in mounts
                    and "r1-secrets" in required_secrets(volume)
                ]
                assert waits, (where, each["name"])


def required_secrets(volume: Document) -> set[str]:
    """The Secrets that have to be there before a volume is mounted."""
    sources = [volume, *volume.get("projected", {}).get("sources", ())]
    secrets = [each["secret"] for each in sources if "secret" in each]
    return {each.get("secretName") or each["name"] for each in secrets if not each.get("optional")}


def test_no_secret_is_in_what_is_rendered(helm: Helm) -> None:
    for document in helm.render():
        if document["kind"] == "Secret":
            assert not {"data", "stringData"} & set(document)
    # Passwords reach a URL in the container's environment, by reference.
    assert set(re.findall(r"://\S*:(\S*)@", helm.text())) == {"$(R1_STORE_PASSWORD)"}


def restricted(**change: Any) -> Document:
    container = {
        "name": "a",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {"spec": {"containers": [{**container, **change.pop("container", {})}], **change}}


def test_the_profile_itself_is_read_right() -> None:
    assert violations(restricted()) == []
    bad = [
        restricted(hostNetwork=True),
        restricted(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        restricted(container={"securityContext": {}}),
        restricted(container={"ports": [{"hostPort": 80}]}),
        restricted(securityContext={"sysctls": [{"name": "kernel.msgmax"}]}),
    ]
    assert all(violations(pod) for pod in bad)


@pytest.mark.parametrize("runtime", ["plain", "kuberay"])
def test_accounts_have_no_rights_but_those_of_the_job_and_the_controller(
    helm: Helm, runtime: str
) -> None:
    documents = helm.render(runtime=runtime)
    bound = {
        subject["name"]
        for each in documents
        if each["kind"] in ("RoleBinding", "ClusterRoleBinding")
        for subject in each["subjects"]
    }
    assert bound == {"r1-secrets"} | ({"r1-controller"} if runtime == "plain" else set())
    assert not [each for each in documents if each["kind"].startswith("Cluster")]
