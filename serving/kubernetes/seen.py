"""What Ray and Kubernetes answered, as what is decided by: pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serving.kubernetes.applications import gang_size
from serving.kubernetes.goal import Workers
from serving.kubernetes.workers import Scene, Worker

REVISION = "controller-revision-hash"
_SERVES = "RUNNING"
# A message may end in a traceback, whose last lines say most.
_SAID = 800


@dataclass(frozen=True)
class Ray:
    """Ray's answers: Serve's applications by name, Ray's nodes and its placement groups."""

    applications: Mapping[str, Any]
    nodes: tuple[Mapping[str, Any], ...]
    placements: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Cluster:
    """Kubernetes' answers about one model: its StatefulSet and the pods of it."""

    stateful_set: Mapping[str, Any]
    pods: tuple[Mapping[str, Any], ...]


def listed(answer: Any) -> tuple[Mapping[str, Any], ...]:
    """The objects in an answer of Ray's state API.

    Raises:
        ValueError: it has another form.
    """
    try:
        return tuple(answer["data"]["result"]["result"])
    except (KeyError, TypeError) as error:
        raise ValueError("Ray's answer is no list of its state API") from error


def scene(workers: Workers, ray: Ray, cluster: Cluster) -> Scene:
    """The model's workers and replicas, from all that was answered."""
    alive = {node["node_ip"]: node["node_id"] for node in ray.nodes if node["state"] == "ALIVE"}
    told = cluster.stateful_set.get("status", {}).get("updateRevision")
    pods = {_ordinal(pod): pod for pod in cluster.pods if _is_member(pod, workers.stateful_set)}
    here = tuple(
        Worker(
            ordinal,
            joined=pod.get("status", {}).get("podIP") in alive,
            leaving="deletionTimestamp" in pod["metadata"],
            outdated=pod["metadata"].get("labels", {}).get(REVISION) != told,
        )
        for ordinal, pod in sorted(pods.items())
    )
    at = {alive.get(pod.get("status", {}).get("podIP", "")): each for each, pod in pods.items()}
    at.pop(None, None)
    placements = [each for each in ray.placements if _ranks(each, workers.pool)]
    held = [frozenset(at[node] for node in _nodes(each) if node in at) for each in placements]
    leaving = {each.ordinal for each in here if each.leaving}
    target, running, shown, gang = _replicas(ray.applications.get(workers.model, {}))
    staying = [each for each in held if not each & leaving]
    ranks = max(
        (_ranks(each, workers.pool) for each in placements),
        default=workers.ranks_per_worker * workers.group,
    )
    engines = max(len(staying), -(-target // gang))
    return Scene(
        declared=int(cluster.stateful_set["spec"].get("replicas", 1)),
        workers=here,
        holders=tuple(each for each in held if each),
        wanted=-(-engines * ranks // workers.ranks_per_worker),
        settled=running == target == shown,
    )


def trouble(application: Mapping[str, Any]) -> str:
    """What Serve says of an application that it can't bring up or keep up; else empty."""
    if application.get("status") not in ("DEPLOY_FAILED", "UNHEALTHY"):
        return ""
    said = [application, *application.get("deployments", {}).values()]
    texts = [str(each.get("message") or "").strip() for each in said]
    return next((text[-_SAID:] for text in texts if text), "no reason was given")


def _replicas(application: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Replicas that are wanted, that run and that are there, and how many make one group."""
    target = running = shown = 0
    gang = 1
    for deployment in application.get("deployments", {}).values():
        states = [replica.get("state") for replica in deployment.get("replicas", [])]
        target += int(deployment.get("target_num_replicas", 0))
        running += states.count(_SERVES)
        shown += len(states)
        gang = max(gang, gang_size(deployment))
    return target, running, shown, gang


def _ranks(placement: Mapping[str, Any], pool: str) -> int:
    """Ranks that a placement group holds or waits for in the model's pool."""
    if placement.get("state") == "REMOVED":
        return 0
    bundles: Iterable[Mapping[str, Any]] = placement.get("bundles") or ()
    return round(sum(float(each.get("unit_resources", {}).get(pool, 0)) for each in bundles))


def _nodes(placement: Mapping[str, Any]) -> set[str]:
    return {each["node_id"] for each in placement.get("bundles") or () if each.get("node_id")}


def _is_member(pod: Mapping[str, Any], stateful_set: str) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(each["kind"] == "StatefulSet" and each["name"] == stateful_set for each in owners)


def _ordinal(pod: Mapping[str, Any]) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])
