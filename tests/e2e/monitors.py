"""What Prometheus would scrape of a release."""

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.network.policies import selects
from tests.e2e.release import Release

Document = dict[str, Any]
Behind = tuple[Document, Document | None]
"""A pod and, where a ServiceMonitor leads to it, the Service in front of it."""


def scrape(address: str) -> dict[str, float]:
    """The sums of all samples of an address, by name; fails if it doesn't answer."""
    answer = httpx.get(address, timeout=30)
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def engines(release: Release) -> dict[str, dict[str, float]]:
    """What Prometheus would scrape of the engines: the head lists them, their ports change."""
    (head,) = release.pods("ray-head")
    answer = httpx.get(f"http://{head['status']['podIP']}:8082/replicas", timeout=30)
    return {
        target: scrape(f"http://{target}{group['labels']['__metrics_path__']}")
        for group in answer.json()
        for target in group["targets"]
    }


def monitored(release: Release) -> dict[str, dict[str, float]]:
    """What Prometheus would scrape by the release's monitors, by address.

    A monitor's selectors are looked up as the operator does it, and the pods behind are asked.
    """
    found: dict[str, dict[str, float]] = {}
    pods = release.get("pods")
    services = release.get("services")
    for monitor in release.get("servicemonitors,podmonitors"):
        spec = monitor["spec"]
        wanted = spec["selector"]
        endpoints = spec.get("podMetricsEndpoints") or spec["endpoints"]
        if monitor["kind"] == "PodMonitor":
            behind: list[Behind] = [(pod, None) for pod in pods if _has(pod, wanted)]
        else:
            behind = [
                (pod, service)
                for service in services
                if _has(service, wanted)
                for pod in pods
                if _has(pod, {"matchLabels": service["spec"].get("selector") or {"": ""}})
            ]
        for pod, service in behind:
            for endpoint in endpoints:
                port = _port(pod, service, endpoint["port"])
                if port is not None and "deletionTimestamp" not in pod["metadata"]:
                    path = endpoint.get("path", "/metrics")
                    address = f"http://{pod['status']['podIP']}:{port}{path}"
                    found[address] = scrape(address)
    return found


def _has(document: Document, selector: Document) -> bool:
    return selects(selector, document["metadata"].get("labels", {}))


def _port(pod: Document, service: Document | None, name: str) -> int | None:
    """The number of a named port, of a pod or of the Service in front of it."""
    own = {
        port.get("name"): port["containerPort"]
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
    }
    if service is None:
        return own.get(name)
    for port in service["spec"]["ports"]:
        if port.get("name") == name:
            target = port["targetPort"]
            return target if isinstance(target, int) else own.get(target)
    return None
