"""Answers of Ray and of Kubernetes as they come, for a model with some workers and replicas."""

from collections.abc import Mapping
from typing import Any

from serving.kubernetes.asking import JSON, TIMEOUT_S, Unanswered
from serving.kubernetes.goal import Goal, Workers

POOL = "model:m"
LIMITS = Workers(
    model="m", stateful_set="r1-ray-m", pool=POOL, ranks_per_worker=1, least=1, most=2, surge=1
)
SERVE: dict[str, Any] = {
    "proxy_location": "HeadOnly",
    "applications": [{"name": "m", "import_path": "serving.app:build", "args": {"model": "m"}}],
}
GOAL = Goal(serve=SERVE, workers=(LIMITS,))


def ip(ordinal: int) -> str:
    return f"10.0.0.{ordinal + 1}"


def pod(ordinal: int, *, leaving: bool = False, revision: str = "new") -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": f"r1-ray-m-{ordinal}",
        "labels": {"controller-revision-hash": revision},
        "ownerReferences": [{"kind": "StatefulSet", "name": "r1-ray-m"}],
    }
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "status": {"podIP": ip(ordinal)}}


def stateful_set(replicas: int) -> dict[str, Any]:
    return {"spec": {"replicas": replicas}, "status": {"updateRevision": "new"}}


def node(ordinal: int, state: str = "ALIVE") -> dict[str, Any]:
    return {"node_id": f"n{ordinal}", "node_ip": ip(ordinal), "state": state}


def placement(*ordinals: int | None, state: str = "CREATED", pool: str = POOL) -> dict[str, Any]:
    """A placement group with a rank on each worker; None is one that waits for a place."""
    bundles = [
        {"unit_resources": {"CPU": 1.0, pool: 1.0}, "node_id": None if o is None else f"n{o}"}
        for o in ordinals
    ]
    return {"state": state, "bundles": bundles}


def application(
    target: int, *states: str, gang: int | None = None, config: Any = SERVE["applications"][0]
) -> dict[str, Any]:
    scheduling = None if gang is None else {"gang_size": gang}
    deployment = {
        "target_num_replicas": target,
        "replicas": [{"state": each} for each in states],
        "deployment_config": {"gang_scheduling_config": scheduling},
    }
    deployed = {**config, "logging_config": {"enable_access_log": False}}
    return {"deployed_app_config": deployed, "deployments": {"ModelServer:m": deployment}}


def listing(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"result": True, "data": {"result": {"total": len(objects), "result": list(objects)}}}


class Table:
    """Answers GET by path; keeps what else it is asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.told: list[tuple[str, str, Any]] = []
        self.refuses: set[str] = set()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Any = None,
        kind: str = JSON,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        if method in self.refuses:
            raise Unanswered(400, "no")
        if method == "GET":
            if path not in self.answers:
                raise Unanswered(0, "connection refused")
            return self.answers[path]
        self.told.append((method, path, body))
        return None

    def scaled(self) -> list[int]:
        return [body["spec"]["replicas"] for method, _, body in self.told if method == "PATCH"]

    def events(self) -> list[str]:
        return [body["reason"] for method, _, body in self.told if method == "POST"]
