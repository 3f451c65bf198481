"""What is to be deployed: models and the place for them, from a file or from a command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from serving.app import ApplicationArguments
from serving.documents import Strict, read_document
from serving.preflight.release import deployment_of, is_release

IMPORT_PATH = "serving.app:build"
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class Toleration(Strict):
    """A taint that the engine's pods bear, in Kubernetes' own words."""

    key: str | None = None
    """None bears every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """None bears all effects."""


GPU_TAINTS = (
    Toleration(key="nvidia.com/gpu", operator="Exists"),
    Toleration(key="amd.com/gpu", operator="Exists"),
)


class Storage(Strict):
    """Where the weights lie on a cluster."""

    place: Literal["claim", "node"] = "claim"
    """A volume that all engine pods mount, or each node's own disk."""
    storage_class: ObjectName | None = None
    """Of the claim; None takes the cluster's default class."""


class Deployment(Strict):
    """A deployment as far as the checks look at it.

    A serveConfigV2 of this project is one too: the arguments of its applications are the models. So
    are values of the Helm chart.
    """

    # What a serveConfigV2 becomes is no JSON any more, in which a list may stand for a tuple.
    model_config = ConfigDict(strict=False)

    models: Annotated[tuple[ApplicationArguments, ...], Field(min_length=1)]
    namespace: DnsLabel = "r1"
    image: str | None = None
    """Of the engine's pods; None leaves it unchecked."""
    pull_secret: ObjectName | None = None
    hub_token_secret: ObjectName | None = None
    """Secret with the token for weights that the hub gives only to who accepted their terms."""
    runtime_class: ObjectName | None = None
    storage: Storage = Storage()
    tolerations: tuple[Toleration, ...] = GPU_TAINTS
    node_selector: dict[str, str] = Field(default_factory=dict)
    runtime: Literal["plain", "kuberay"] = "plain"
    """As the chart's: Ray without an operator, or a RayService."""
    monitoring: bool = False
    """The chart makes objects of the Prometheus operator, such as a ServiceMonitor."""
    gateway_api: bool = False
    """The chart makes an HTTPRoute."""
    keda: bool = False
    """The gateways are scaled by KEDA."""
    accepted_licences: tuple[str, ...] = ()
    """Terms that somebody has read and accepted, by name."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Settings of the engine's processes, those of NCCL for instance."""
    ports: dict[str, Port] = Field(default_factory=dict)
    """TCP ports that must be free on a machine, by the name of who listens there."""

    @model_validator(mode="before")
    @classmethod
    def _from_others(cls, data: Any) -> Any:
        if isinstance(data, dict) and is_release(data):
            return deployment_of(data)
        if not isinstance(data, dict) or "applications" not in data:
            return data
        applications = data["applications"]
        if not isinstance(applications, list):
            raise ValueError("applications: must be a list, as in a serveConfigV2")
        models: list[Any] = []
        environment: dict[str, str] = {}
        for each in applications:
            if not isinstance(each, dict) or each.get("import_path") != IMPORT_PATH:
                raise ValueError(
                    f"applications: every import_path must be {IMPORT_PATH}; leave others out"
                )
            models.append(each.get("args") or {})
            environment |= _environment_of(each)
        return {"models": models, "environment": environment}

    @classmethod
    def load(cls, path: Path) -> "Deployment":
        """Read a deployment, a serveConfigV2, or values of the Helm chart.

        Raises:
            InvalidDocument: the file is wrong; the message names the fields.
        """
        return read_document(path, cls)


def _environment_of(application: Mapping[str, Any]) -> dict[str, str]:
    runtime = application.get("runtime_env")
    given = runtime.get("env_vars") if isinstance(runtime, dict) else None
    return {str(name): str(value) for name, value in (given or {}).items()}
