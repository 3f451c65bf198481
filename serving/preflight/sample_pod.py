"""An engine's pod as the chart makes it, for a cluster to say whether it would take it. Pure."""

from typing import Any

from serving.preflight.demand import Demand
from serving.preflight.deployment import Deployment

NAME = "r1-doctor-"
USER = 10001
"""Whom the images run as."""


def sample_pod(demand: Demand, deployment: Deployment) -> dict[str, Any]:
    """The manifest of one pod of a model's engine."""
    resources = {"cpu": str(demand.cpus), "memory": str(demand.memory_bytes)}
    if demand.gpus:
        resources[gpu_resource(demand)] = str(demand.gpus)
    capabilities: dict[str, list[str]] = {"drop": ["ALL"]}
    if demand.rdma:
        capabilities["add"] = ["IPC_LOCK"]
    container = {
        "name": "engine",
        "image": deployment.image or "r1",
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": capabilities,
        },
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108
    }
    memory = {"medium": "Memory", "sizeLimit": str(demand.shm_bytes)}
    spec: dict[str, Any] = {
        "containers": [container],
        "volumes": [{"name": "shm", "emptyDir": memory}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": dict(deployment.node_selector),
        "tolerations": [each.model_dump(exclude_none=True) for each in deployment.tolerations],
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
    }
    if deployment.runtime_class is not None:
        spec["runtimeClassName"] = deployment.runtime_class
    if deployment.pull_secret is not None:
        spec["imagePullSecrets"] = [{"name": deployment.pull_secret}]
    return _pod(spec)


def pull_pod(image: str, deployment: Deployment) -> dict[str, Any]:
    """The manifest of a pod that only has to pull an image."""
    container = {
        "name": "pull",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["true"],
        "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "containers": [container],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
    if deployment.pull_secret is not None:
        spec["imagePullSecrets"] = [{"name": deployment.pull_secret}]
    return _pod(spec)


def gpu_resource(demand: Demand) -> str:
    """What Kubernetes calls the GPUs of a demand."""
    gpu = demand.machine.gpu
    return "nvidia.com/gpu" if gpu is None else gpu.resource


def _pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": NAME, "labels": {"app.kubernetes.io/name": "r1-doctor"}},
        "spec": spec,
    }
