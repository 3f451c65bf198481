"""What there is in a cluster, as far as it was looked at. Plain values, no client."""

from collections.abc import Mapping
from dataclasses import dataclass, field

NVIDIA_GPU = "nvidia.com/gpu"
AMD_GPU = "amd.com/gpu"


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps pods off a node."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        """As kubectl writes it."""
        value = f"={self.value}" if self.value else ""
        return f"{self.key}{value}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Node:
    """One node. Amounts are in bytes, cores and pieces, by Kubernetes' names of resources."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    ready: bool = True
    cordoned: bool = False
    pressures: tuple[str, ...] = ()
    """Conditions such as DiskPressure that hold."""
    allocatable: Mapping[str, float] = field(default_factory=dict)
    taken: Mapping[str, float] = field(default_factory=dict)
    """What running pods have asked for; empty where they can't be listed."""
    images: frozenset[str] = frozenset()
    """Names of images on it; the kubelet tells of the largest 50 only."""

    def free(self, resource: str) -> float:
        """What is left of a resource."""
        return self.allocatable.get(resource, 0.0) - self.taken.get(resource, 0.0)

    @property
    def gpu_resource(self) -> str:
        """The name of the resource that its GPUs are."""
        return AMD_GPU if AMD_GPU in self.allocatable else NVIDIA_GPU

    @property
    def gpus(self) -> int:
        """GPUs that its device plugin offers."""
        return int(self.allocatable.get(self.gpu_resource, 0))

    @property
    def free_gpus(self) -> int:
        """GPUs that no pod has."""
        return int(self.free(self.gpu_resource))

    @property
    def product(self) -> str | None:
        """What its GPUs are called, or None where no label says so."""
        labels = self.labels
        return labels.get("nvidia.com/gpu.product") or labels.get("amd.com/gpu.product-name")

    @property
    def has_gpu_hardware(self) -> bool:
        """Whether a label says that there is a GPU, offered or not."""
        marks = ("nvidia.com/gpu.present", "feature.node.kubernetes.io/pci-10de.present")
        return self.product is not None or any(self.labels.get(each) == "true" for each in marks)


@dataclass(frozen=True, slots=True)
class Quota:
    """A ResourceQuota, or one of several scopes: what it allows and what is used of it."""

    name: str
    hard: Mapping[str, float]
    used: Mapping[str, float]
    scoped: bool = False
    """It counts some pods only, so that it may not be about ours."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A LimitRange: the most that one container may ask for."""

    name: str
    most: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A StorageClass."""

    name: str
    provisioner: str
    default: bool
    expandable: bool


@dataclass(frozen=True, slots=True)
class Operator:
    """The Deployment of an operator."""

    name: str
    image: str
    available: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """What was found. None: it could not be looked at, and `refusals` says why."""

    version: tuple[int, int] | None = None
    nodes: tuple[Node, ...] | None = None
    pods_seen: bool = False
    """Whether running pods could be listed, so that `Node.taken` is true."""
    apis: Mapping[tuple[str, str], frozenset[str]] | None = None
    """Resources by group and version, of the groups that were asked for and exist."""
    spec_fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Fields below `spec` of the definitions that could be read, by resource and group."""
    ray_operators: tuple[Operator, ...] | None = None
    access: Mapping[tuple[str, str, str], bool] | None = None
    """Whether a verb is allowed, by group, resource and verb."""
    namespace: bool | None = None
    """Whether it exists."""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    storage_classes: tuple[StorageClass, ...] | None = None
    quotas: tuple[Quota, ...] | None = None
    limits: tuple[Limits, ...] | None = None
    secrets: Mapping[str, str | None] = field(default_factory=dict)
    """Types of the named secrets that were looked for, None for one that is not there. Their
    contents are never asked for."""
    runtime_classes: frozenset[str] | None = None
    admission: Mapping[str, str | None] | None = None
    """By model: None where the API server would take its pod, else its objection."""
    pull: str | None = None
    """Why the image could not be pulled; empty where it was; None where it was not tried."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Why a thing could not be looked at, by the name of its field."""
