"""What there is on one machine, as far as it was looked at. Plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HostGpu:
    """One GPU as its driver tells of it. None: the driver doesn't say."""

    index: int
    name: str
    memory_bytes: int
    free_bytes: int
    sliced: bool | None = None
    """MIG is on."""
    uncorrected_errors: int | None = None
    """Memory errors since the driver was loaded that nothing could correct."""
    links: int | None = None
    """NVLinks that are up."""
    fabric_ready: bool | None = None
    """The fabric manager has joined it to the others; None where there is no fabric."""


@dataclass(frozen=True, slots=True)
class Rdma:
    """One InfiniBand or RoCE device."""

    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class Weights:
    """What is on this machine of a model's weights."""

    place: str
    """A folder, or the cache that a fetch puts them into."""
    bytes: int = 0
    """Of the files that are there, a fetch cut short included."""
    problem: str = ""
    """Why they are not whole; empty where they are."""
    free_bytes: int | None = None
    """What may still be put there, for this user."""
    droppable_bytes: int = 0
    """Of other models in the cache, which make room when they are not in use."""
    limit_bytes: int | None = None
    """What the cache may take in all; None without a limit."""


@dataclass(frozen=True, slots=True)
class Host:
    """What was found. None: it could not be looked at."""

    architecture: str = ""
    cpu_flags: frozenset[str] | None = None
    memory_bytes: int | None = None
    """Of the machine, or what the container may have of it."""
    available_bytes: int | None = None
    shm_bytes: int | None = None
    """Free in /dev/shm."""
    gpus: tuple[HostGpu, ...] | None = None
    gpu_problem: str = ""
    """Why no GPU could be looked at."""
    driver: str | None = None
    interfaces: tuple[str, ...] = ()
    rdma: tuple[Rdma, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """Only the settings that checks look at, none of which is a secret."""
    open_files: int | None = None
    """Files that a process may open when it raises its limit as far as it may."""
    locked_bytes: int | None = None
    """Memory that a process may pin; -1 without limit."""
    ports: Mapping[int, str] | None = None
    """Who listens, by port: a process, or empty where that can't be seen."""
    packages: Mapping[str, str | None] = field(default_factory=dict)
    """Versions of installed packages, None for one that is missing."""
    compiler: bool | None = None
    hub_token: bool | None = None
    """Whether there is a token for the hub. It is never read."""
    weights: Mapping[str, Weights] = field(default_factory=dict)
    """By model."""
