"""Every time on the path of an answer follows from one value, and each waits for the one inside."""

from typing import Any

import pytest
import yaml

from tests.chart.helm import Document, Helm, containers, one, templates

LONGEST = 1234
ON: dict[str, Any] = {
    "gateway": {
        "ingress": {"enabled": True, "hosts": ["a.example"]},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
    },
    "longestAnswer": LONGEST,
}


@pytest.fixture
def documents(helm: Helm) -> list[Document]:
    return helm.render(**ON)


def config(documents: list[Document]) -> Any:
    return yaml.safe_load(one(documents, "ConfigMap", "r1-gateway")["data"]["gateway.yaml"])


def test_the_gateway_ends_answers_at_the_longest(documents: list[Document]) -> None:
    for model in config(documents)["models"]:
        assert model["timeouts"]["total_s"] == LONGEST


def test_the_kubelet_waits_for_a_gateway_that_waits_for_its_answers(
    documents: list[Document],
) -> None:
    spec = one(documents, "Deployment", "r1-gateway")["spec"]["template"]["spec"]
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    # The gateway's own: drain_delay_s (2 s), its answers, and last words.
    assert spec["terminationGracePeriodSeconds"] >= pause + 2 + LONGEST + 10


def test_proxies_in_front_wait_longer_than_the_gateway(documents: list[Document]) -> None:
    annotations = one(documents, "Ingress", "r1-gateway")["metadata"]["annotations"]
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > LONGEST
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-send-timeout"]) > LONGEST
    (rule,) = one(documents, "HTTPRoute", "r1-gateway")["spec"]["rules"]
    for name in ("request", "backendRequest"):
        assert int(rule["timeouts"][name].removesuffix("s")) > LONGEST


@pytest.mark.parametrize(
    ("controller", "annotation"),
    [
        ("haproxy", "haproxy.org/timeout-server"),
        ("haproxy", "haproxy-ingress.github.io/timeout-server"),
        ("contour", "projectcontour.io/response-timeout"),
    ],
)
def test_other_ingress_controllers_too(helm: Helm, controller: str, annotation: str) -> None:
    ingress = {"enabled": True, "hosts": ["a.example"], "controller": controller}
    found = one(
        helm.render(longestAnswer=LONGEST, gateway={"ingress": ingress}), "Ingress", "r1-gateway"
    )
    assert found["metadata"]["annotations"][annotation] == f"{LONGEST + 60}s"


@pytest.mark.parametrize("runtime", ["plain", "kuberay"])
def test_workers_outlive_their_answers(helm: Helm, runtime: str) -> None:
    for _, pod in templates(helm.render(**ON, runtime=runtime)):
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "ray-worker":
            assert pod["spec"]["terminationGracePeriodSeconds"] > LONGEST
            assert containers(pod)


def test_fractions_of_a_second_are_rounded_up(helm: Helm) -> None:
    assert config(helm.render(longestAnswer=0.5))["models"][0]["timeouts"]["total_s"] == 1
