"""One release of the chart in a namespace of its own."""

import base64
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from loadtests.streams import Target
from tests.e2e.playground import wait_until
from tests.e2e.tools import ROOT, CommandError, Tools, selector

CHART = ROOT / "deploy" / "helm" / "r1"
NAME = "r1"
MODEL = "r1-nano"
INSTALL_S = 600
Values = dict[str, Any]
_LITTLE = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
SMALL: Values = {
    "gateway": {
        "service": {"type": "NodePort"},
        # Load on two cores says nothing about how many gateways are needed.
        "autoscaling": {"enabled": False},
        "resources": _LITTLE,
    },
    "models": {MODEL: {"hardware": "cpu", "surge": 1, "pod": {"cpu": "50m"}}},
    "ray": {"head": {"resources": {"requests": {"cpu": "50m"}}}},
    "monitoring": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
}
"""The chart's defaults, with little reserved: an upgrade has room for new pods beside the old."""


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> Values:
    """Values as helm puts one file over another."""
    result = dict(base)
    for name, value in more.items():
        old = result.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[name] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


class Release:
    """Installed, changed and taken away with helm."""

    def __init__(self, tools: Tools, name: str, values: Values) -> None:
        self.tools = tools
        # Two runs on one cluster don't meet.
        self.namespace = f"r1-e2e-{name}-{os.getpid()}"
        self.values = values

    def install(self, **more: Any) -> None:
        """`helm install` until it says that all is there."""
        self._helm("install", "--create-namespace", **more)

    def upgrade(self, **more: Any) -> None:
        """`helm upgrade` with the first values and these over them."""
        self._helm("upgrade", **more)

    def rollback(self, revision: int) -> None:
        """Back to a revision."""
        words = ("rollback", NAME, str(revision), "-n", self.namespace, "--wait")
        self.tools.helm(*words, "--timeout", f"{INSTALL_S}s")

    def test(self) -> str:
        """`helm test`; what its pods said."""
        return self.tools.helm("test", NAME, "-n", self.namespace, "--logs", "--timeout", "180s")

    def uninstall(self) -> None:
        """`helm uninstall` until the objects are gone."""
        words = ("uninstall", NAME, "-n", self.namespace, "--wait", "--timeout", "300s")
        self.tools.helm(*words)

    def _helm(self, command: str, *words: str, **more: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "values.yaml"
            path.write_text(yaml.safe_dump(merged(self.values, more)))
            given = ("-n", self.namespace, "-f", str(path), "--wait", "--timeout", f"{INSTALL_S}s")
            self.tools.helm(command, NAME, str(CHART), *given, *words, limit_s=INSTALL_S + 60)

    def rendered(self, **more: Any) -> list[dict[str, Any]]:
        """What `helm get manifest` says is installed."""
        text = self.tools.helm("get", "manifest", NAME, "-n", self.namespace)
        return [each for each in yaml.safe_load_all(text) if each]

    def get(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """Objects in the release's namespace."""
        return self.tools.get(kind, *words, namespace=self.namespace)

    def kubectl(self, *words: str, given: str | None = None, limit_s: float = 300) -> str:
        """kubectl in the release's namespace."""
        return self.tools.kubectl("-n", self.namespace, *words, given=given, limit_s=limit_s)

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Pods of a component that are not on their way out."""
        labels = {
            "app.kubernetes.io/instance": NAME,
            "app.kubernetes.io/component": component,
        }
        found = self.get("pods", *selector(labels))
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def secret(self, key: str) -> str:
        """One value of the release's Secret."""
        text = self.kubectl("get", "secret", f"{NAME}-secrets", "-o", "json")
        return base64.b64decode(json.loads(text)["data"][key]).decode()

    def target(self, model: str = MODEL) -> Target:
        """The gateway through its NodePort, with the bootstrap key."""
        return Target("cluster", f"{self.url()}/v1", model, self.secret("api-key"))

    def url(self) -> str:
        """The gateway's address from outside of the cluster."""
        name = f"{NAME}-gateway"
        found = [each for each in self.get("services") if each["metadata"]["name"] == name]
        assert found, "there is no gateway: the release was not installed"
        return f"http://127.0.0.1:{found[0]['spec']['ports'][0]['nodePort']}"

    def wait_answers(self, model: str = MODEL, limit_s: float = 420) -> None:
        """Until the model answers through the gateway."""
        target = self.target(model)
        body = {"model": model, "messages": [{"role": "user", "content": "1+1"}], "max_tokens": 4}
        headers = {"authorization": f"Bearer {target.key}"}

        def answers() -> bool:
            try:
                url = f"{target.url}/chat/completions"
                return httpx.post(url, json=body, headers=headers, timeout=60).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(f"{model} answers", answers, limit_s)

    def wait_settled(self, limit_s: float = 420) -> None:
        """Until all pods are ready and none is on its way out."""

        def settled() -> bool:
            ended = ("Succeeded", "Failed")
            pods = [each for each in self.get("pods") if each["status"].get("phase") not in ended]
            return bool(pods) and all(_ready(each) for each in pods)

        wait_until("all pods are ready", settled, limit_s)

    def describe(self) -> str:
        """Pods, events and the ends of logs, for the report of a failure."""
        said = [
            self._said("get", "pods,statefulsets,deployments,jobs", "-o", "wide"),
            self._said("get", "events", "--sort-by=.lastTimestamp"),
        ]
        for pod in self.get("pods"):
            name = pod["metadata"]["name"]
            said.append(f"--- log of {name}\n")
            said.append(self._said("logs", name, "--all-containers", "--tail=40"))
        return "\n".join(said)

    def _said(self, *words: str) -> str:
        try:
            return self.kubectl(*words)[-12000:]
        except CommandError as error:
            return str(error)

    def take_away(self) -> None:
        """Everything, whatever state it is in."""
        self.tools.run("helm", "uninstall", NAME, "-n", self.namespace, "--ignore-not-found")
        words = ("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=300s")
        # Pods of a broken release may have an hour of grace.
        self.tools.kubectl("-n", self.namespace, "delete", "pods", "--all", "--grace-period=0",
                           "--force", "--wait=false")  # fmt: skip
        self.tools.kubectl(*words, limit_s=320)


def _ready(pod: Mapping[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
