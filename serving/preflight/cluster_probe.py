"""Looks at a cluster: the facts that the checks need, each asked for once."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from serving.preflight import cluster_documents as documents
from serving.preflight import needs
from serving.preflight.cluster_client import METADATA_ONLY, Asks, CouldNotLook, Refused, items
from serving.preflight.cluster_facts import Cluster, Limits, Node, Operator, Quota, StorageClass
from serving.preflight.demand import Demand
from serving.preflight.deployment import Deployment
from serving.preflight.sample_pod import pull_pod, sample_pod

REGISTRY_SECRET = "kubernetes.io/dockerconfigjson"  # noqa: S105
RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
PULL_STEP_S = 0.5
Found = TypeVar("Found")


def needed_access(deployment: Deployment) -> tuple[needs.Access, ...]:
    """What the one who installs must be allowed to do."""
    return (
        *needs.ALWAYS,
        *(needs.KUBERAY if deployment.runtime == "kuberay" else ()),
        *(needs.MONITORING if deployment.monitoring else ()),
        *(needs.GATEWAY_API if deployment.gateway_api else ()),
        *(needs.KEDA if deployment.keda else ()),
    )


def needed_apis(deployment: Deployment) -> tuple[needs.Api, ...]:
    """The kinds that operators must have brought."""
    return (
        *(needs.RAY_APIS if deployment.runtime == "kuberay" else ()),
        *(needs.MONITORING_APIS if deployment.monitoring else ()),
        *(needs.GATEWAY_APIS if deployment.gateway_api else ()),
        *(needs.KEDA_APIS if deployment.keda else ()),
    )


class ClusterProbe:
    """One look at a cluster. It changes nothing, unless `pull_for_s` asks for a pod that pulls."""

    def __init__(
        self,
        client: Asks,
        deployment: Deployment,
        demands: Sequence[Demand],
        *,
        pull_for_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`pull_for_s`: seconds that pulling the image may take; 0 doesn't try it."""
        self._client = client
        self._deployment = deployment
        self._demands = demands
        self._pull_for_s = pull_for_s
        self._clock = clock
        self._sleep = sleep
        self._space = f"/api/v1/namespaces/{deployment.namespace}"
        self._refusals: dict[str, str] = {}

    def look(self) -> Cluster:
        """Gather the facts.

        Raises:
            CouldNotLook: the API server can't be reached, or doesn't know who asks.
        """
        try:
            version = documents.server_version(self._client.ask("GET", "/version"))
        except Refused as error:
            mend = "check the address, the credentials and the network"
            raise CouldNotLook(f"the cluster can't be looked at: {error}; {mend}") from error
        taken = self._try("pods", self._taken)
        space = self._try("namespace", self._namespace)
        exists = None if space is None else bool(space)
        access = self._try("access", self._access)
        return Cluster(
            version=version,
            nodes=self._try("nodes", lambda: self._nodes(taken or {})),
            pods_seen=taken is not None,
            apis=self._try("apis", self._apis),
            spec_fields=self._try("spec_fields", self._spec_fields) or {},
            ray_operators=self._try("ray_operators", self._ray_operators),
            access=access,
            namespace=exists,
            namespace_labels=documents.labels_of(space),
            storage_classes=self._try("storage_classes", self._storage_classes),
            quotas=self._try("quotas", self._quotas),
            limits=self._try("limits", self._limits),
            secrets=self._try("secrets", self._secrets) or {},
            runtime_classes=self._try("runtime_classes", self._runtime_classes),
            admission=self._admission() if exists and access and self._may_make(access) else None,
            pull=self._pull() if exists and self._pull_for_s else None,
            refusals=self._refusals,
        )

    def _try(self, name: str, look: Callable[[], Found]) -> Found | None:
        try:
            return look()
        except Refused as error:
            self._refusals[name] = str(error)
            return None

    def _nodes(self, taken: dict[str, dict[str, float]]) -> tuple[Node, ...]:
        found = items(self._client, "/api/v1/nodes")
        return tuple(documents.node(each, taken) for each in found)

    def _in(self, resource: str) -> Iterable[object]:
        return items(self._client, f"{self._space}/{resource}")

    def _taken(self) -> dict[str, dict[str, float]]:
        pods = items(self._client, "/api/v1/pods", fieldSelector=RUNNING)
        return documents.taken_by_pods(pods)

    def _namespace(self) -> dict[str, object]:
        """The namespace's document, empty where there is none."""
        try:
            found = self._client.ask("GET", self._space)
        except Refused as error:
            if error.status == 404:
                return {}
            raise
        return documents.inside(found)

    def _apis(self) -> dict[tuple[str, str], frozenset[str]]:
        wanted = {(each.group, each.version) for each in needed_apis(self._deployment)}
        groups = {group for group, _ in wanted}
        found: dict[tuple[str, str], frozenset[str]] = {}
        for group in documents.each_in(self._client.ask("GET", "/apis"), "groups"):
            name = documents.text(group, "name")
            if name not in groups:
                continue
            for each in documents.each_in(group, "versions"):
                version = documents.text(each, "version")
                there: frozenset[str] = frozenset()
                if (name, version) in wanted:
                    listed = self._client.ask("GET", f"/apis/{name}/{version}")
                    resources = documents.each_in(listed, "resources")
                    there = frozenset(documents.text(one, "name") for one in resources)
                found[name, version] = there
        return found

    def _spec_fields(self) -> dict[str, frozenset[str]]:
        found = {}
        for each in needed_apis(self._deployment):
            if not each.field:
                continue
            name = f"{each.resource}.{each.group}"
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
            try:
                definition = self._client.ask("GET", path)
            except Refused as error:
                if error.status != 404:
                    raise
                continue
            found[name] = documents.spec_fields(definition, each.version)
        return found

    def _ray_operators(self) -> tuple[Operator, ...]:
        label = "app.kubernetes.io/name=kuberay-operator"
        found = items(self._client, "/apis/apps/v1/deployments", labelSelector=label)
        return tuple(map(documents.operator, found))

    def _access(self) -> dict[tuple[str, str, str], bool]:
        pods = needs.Access("", "pods", ("create",))
        return {
            (each.group, each.resource, verb): self._may(each.group, each.resource, verb)
            for each in (*needed_access(self._deployment), pods)
            for verb in each.verbs
        }

    def _may(self, group: str, resource: str, verb: str) -> bool:
        asked = {
            "namespace": self._deployment.namespace,
            "group": group,
            "resource": resource,
            "verb": verb,
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self._client.ask("POST", path, body=body)
        return documents.inside(answer, "status").get("allowed") is True

    @staticmethod
    def _may_make(access: dict[tuple[str, str, str], bool]) -> bool:
        return access.get(("", "pods", "create"), False)

    def _storage_classes(self) -> tuple[StorageClass, ...]:
        found = items(self._client, "/apis/storage.k8s.io/v1/storageclasses")
        return tuple(map(documents.storage_class, found))

    def _runtime_classes(self) -> frozenset[str]:
        found = items(self._client, "/apis/node.k8s.io/v1/runtimeclasses")
        return frozenset(map(documents.name_of, found))

    def _quotas(self) -> tuple[Quota, ...]:
        return tuple(map(documents.quota, self._in("resourcequotas")))

    def _limits(self) -> tuple[Limits, ...]:
        return tuple(map(documents.limits, self._in("limitranges")))

    def _secrets(self) -> dict[str, str | None]:
        """Which of the named secrets there are. Only their metadata ever leaves the server."""
        found: dict[str, str | None] = {}
        for name in (self._deployment.pull_secret, self._deployment.hub_token_secret):
            if name is not None:
                registry = self._has_secret(f"metadata.name={name},type={REGISTRY_SECRET}")
                there = registry or self._has_secret(f"metadata.name={name}")
                found[name] = REGISTRY_SECRET if registry else ("another" if there else None)
        return found

    def _has_secret(self, selector: str) -> bool:
        found = items(
            self._client, f"{self._space}/secrets", accept=METADATA_ONLY, fieldSelector=selector
        )
        return any(True for _ in found)

    def _admission(self) -> dict[str, str | None]:
        """What the API server says to one pod of each model, in a dry run."""
        found: dict[str, str | None] = {}
        for demand in self._demands:
            body = sample_pod(demand, self._deployment)
            try:
                self._client.ask("POST", f"{self._space}/pods", query={"dryRun": "All"}, body=body)
                found[demand.name] = None
            except Refused as error:
                found[demand.name] = str(error)
        return found

    def _pull(self) -> str | None:
        """Make a pod that pulls the image, wait for what becomes of it, delete it."""
        image = self._deployment.image
        if image is None:
            return None
        body = pull_pod(image, self._deployment)
        try:
            name = documents.name_of(self._client.ask("POST", f"{self._space}/pods", body=body))
        except Refused as error:
            self._refusals["pull"] = str(error)
            return None
        path = f"{self._space}/pods/{name}"
        try:
            return self._pulled(path)
        except Refused as error:
            self._refusals["pull"] = str(error)
            return None
        finally:
            self._try("pull", lambda: self._client.ask("DELETE", path))

    def _pulled(self, path: str) -> str:
        """Empty as soon as the image is there, else why it is not."""
        deadline = self._clock() + self._pull_for_s
        while True:
            pod = self._client.ask("GET", path)
            states = list(documents.each_in(documents.inside(pod, "status"), "containerStatuses"))
            for each in states:
                waiting = documents.inside(each, "state", "waiting")
                if documents.text(each, "imageID") or documents.inside(each, "state", "terminated"):
                    return ""
                if re.search("Pull|Image", documents.text(waiting, "reason")):
                    return documents.text(waiting, "message") or documents.text(waiting, "reason")
            if self._clock() >= deadline:
                where = "pulling" if states else "waiting for a node"
                return f"after {self._pull_for_s:g} s it was still {where}"
            self._sleep(PULL_STEP_S)
