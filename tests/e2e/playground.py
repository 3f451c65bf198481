"""Objects that one test puts into the cluster, and that go with it."""

import contextlib
import copy
import functools
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from serving.preflight.cluster_client import Client, Refused

LIMIT_S = 60.0
MANAGED = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")
SHARED_CLASS = "r1-shared"
_numbers = itertools.count(1)

Document = dict[str, Any]
Change = Callable[[Document], None]


def wait_until(what: str, condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, f"waited in vain: {what}"
        time.sleep(0.1)


def bare(document: Document) -> Document:
    """A copy of an object without what the server adds."""
    mine = copy.deepcopy(document)
    for name in MANAGED:
        mine["metadata"].pop(name, None)
    return mine


class Playground:
    """Makes objects and remembers them; names of nodes and namespaces begin with the prefix."""

    def __init__(
        self, kubeconfig: str, template: dict[str, object] | None = None, prefix: str = "r1"
    ) -> None:
        self.kubeconfig = kubeconfig
        self.client = Client.connect(kubeconfig)
        self._template = template or {}
        self._prefix = prefix
        self._made: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for path in reversed(self._made):
            self.remove(path)
        for path in self._made:
            if path.startswith("/api/v1/nodes/"):
                wait_until(f"{path} is gone", functools.partial(self._is_gone, path))
        self.client.close()

    def remove(self, path: str) -> None:
        """Delete an object at once, if it is there."""
        with contextlib.suppress(Refused):
            self.client.ask("DELETE", path, query={"gracePeriodSeconds": "0"})

    def exists(self, path: str) -> bool:
        try:
            self.client.ask("GET", path)
        except Refused as error:
            if error.status == 404:
                return False
            raise
        return True

    def _is_gone(self, path: str) -> bool:
        return not self.exists(path)

    def make(self, path: str, document: Document) -> Document:
        """Create an object in a collection; it goes with the test."""
        made: Document = self.client.ask("POST", path, body=document)
        self._made.append(f"{path}/{made['metadata']['name']}")
        return made

    def take_node(self, name: str) -> Document:
        """A node's document; the node is deleted."""
        path = f"/api/v1/nodes/{name}"
        found: Document = bare(self.client.ask("GET", path))
        self.client.ask("DELETE", path)
        wait_until(f"{name} is gone", lambda: not self.exists(path))
        return found

    def node(self, *changes: Change, ready: bool = True) -> str:
        """Add a node like the template with changes, and wait until it is as it will be.

        Without its annotation nobody keeps a fake node alive.
        """
        name = f"{self._prefix}-fake-{next(_numbers)}"
        document = bare(self._template)
        document["spec"] = {"taints": document["spec"].get("taints", [])}
        document["metadata"]["name"] = name
        document["metadata"]["labels"]["kubernetes.io/hostname"] = name
        label(document, "nvidia.com/cuda.driver.major", "580")
        for change in changes:
            change(document)
        # Only what the kit set: the rest would be a node's own report.
        document["spec"]["taints"] = [
            each
            for each in document["spec"]["taints"]
            if not each["key"].startswith("node.kubernetes.io/")
        ]
        if not ready:
            document["metadata"]["annotations"] = {}
            document["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        self.make("/api/v1/nodes", document)
        if ready:
            wait_until(f"{name} is ready", lambda: self._ready(name))
        return name

    def _ready(self, name: str) -> bool:
        found = self.client.ask("GET", f"/api/v1/nodes/{name}")
        conditions = found["status"].get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def namespace(self, labels: dict[str, str] | None = None) -> str:
        name = f"{self._prefix}-doctor-{next(_numbers)}"
        self.make("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(f"{name} has its service account", lambda: self.exists(path))
        return name

    def shared_class(self) -> None:
        """A StorageClass whose volumes several nodes can mount."""
        document = {"metadata": {"name": SHARED_CLASS}, "provisioner": "nfs.csi.k8s.io"}
        self.make("/apis/storage.k8s.io/v1/storageclasses", document)

    def account(self, namespace: str, folder: Path) -> str:
        """The configuration of a service account that may do nothing."""
        space = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.make(space, {"metadata": {"name": "guest"}})
        answer = self.client.ask("POST", f"{space}/guest/token", body={"spec": {"audiences": []}})
        config = yaml.safe_load(Path(self.kubeconfig).read_text())
        config["users"] = [{"name": "guest", "user": {"token": answer["status"]["token"]}}]
        for each in config["contexts"]:
            each["context"]["user"] = "guest"
        path = folder / "guest.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path)


def label(document: Document, name: str, value: str | None) -> None:
    """Set a label of a document, or take it off."""
    labels = document["metadata"]["labels"]
    labels.pop(name, None)
    if value is not None:
        labels[name] = value


def labelled(name: str, value: str | None) -> Change:
    return lambda document: label(document, name, value)


def with_amount(name: str, value: str) -> Change:
    """Set a resource of a node."""

    def change(document: Document) -> None:
        for kind in ("capacity", "allocatable"):
            document["status"][kind][name] = value

    return change


def tainted(key: str, value: str = "") -> Change:
    taint = {"key": key, "value": value, "effect": "NoSchedule"}
    return lambda document: document["spec"]["taints"].append(taint)


def cordoned(document: Document) -> None:
    document["spec"]["unschedulable"] = True


def product(name: str, memory_mib: int) -> Change:
    def change(document: Document) -> None:
        label(document, "nvidia.com/gpu.product", name)
        label(document, "nvidia.com/gpu.memory", str(memory_mib))
        label(document, "node.kubernetes.io/instance-type", name)

    return change
