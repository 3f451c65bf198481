"""What one model asks of a place: pods, GPUs, memory, disk. Pure."""

from dataclasses import dataclass

from serving.app import ApplicationArguments, derive
from serving.catalog import Model
from serving.engine.args import EngineArguments
from serving.errors import DoesNotFit, UnknownProfile
from serving.hardware import Machine
from serving.preflight import needs
from serving.preflight.deployment import Deployment
from serving.preflight.finding import Finding
from serving.preflight.products import chip_of
from serving.weights.source import Folder, Hub, Source
from serving.weights.source import parse as parse_source


@dataclass(frozen=True, slots=True)
class Demand:
    """One model's share of a deployment. A pod is the part of an engine on one node."""

    model: Model
    machine: Machine
    engine: EngineArguments
    replicas: int
    """Engines at the start."""
    most_replicas: int
    """Engines at the autoscaler's upper bound."""
    pods: int
    """Of one engine."""
    ranks: int
    """Of one pod; on GPUs, each has one."""

    @property
    def name(self) -> str:
        """The model's id."""
        return self.model.id

    @property
    def gpus(self) -> int:
        """GPUs of one pod."""
        return 0 if self.machine.is_cpu else self.ranks

    @property
    def chip(self) -> str | None:
        """What its GPU is called in every product name, or None on processors."""
        return None if self.machine.gpu is None else chip_of(self.machine.gpu.name)

    @property
    def weight_bytes(self) -> int:
        """All weight files, MTP layers included."""
        return self.model.weight_bytes.total

    @property
    def memory_bytes(self) -> int:
        """Host memory that one pod needs, its shared memory included."""
        if self.machine.is_cpu:
            cache = int(self.engine.kwargs.get("kv_cache_memory_bytes", 0)) * self.ranks
            own = needs.CPU_POD_BASE_BYTES + self.ranks * needs.CPU_POD_BYTES_PER_RANK
            own += self.weight_bytes + cache
        else:
            own = needs.POD_BASE_BYTES + self.ranks * needs.POD_BYTES_PER_GPU
        return own + self.shm_bytes

    @property
    def cpus(self) -> float:
        """Cores that one pod asks for."""
        each = needs.CPUS_PER_CPU_RANK if self.machine.is_cpu else needs.CPUS_PER_GPU
        return each * self.ranks

    @property
    def shm_bytes(self) -> int:
        """Shared memory that one pod needs."""
        return needs.SHM_BYTES if self.ranks > 1 else needs.SHM_BYTES_ALONE

    @property
    def source(self) -> Source:
        """Where the weights come from."""
        return parse_source(self.engine.source)

    @property
    def fetched(self) -> bool:
        """Whether the weights come from elsewhere, so that they need a place."""
        return not isinstance(self.source, Folder)

    @property
    def gated(self) -> bool:
        """Whether the hub gives the weights only to an account that has accepted their terms."""
        licence = self.model.weights.licence or self.model.licence
        return licence.gated and isinstance(self.source, Hub)

    @property
    def several_nodes(self) -> bool:
        """Whether one engine spans nodes."""
        return self.pods > 1

    @property
    def rdma(self) -> bool:
        """Whether it counts with RDMA between its nodes."""
        link = self.machine.link_between_nodes_gb_s
        return self.several_nodes and link is not None and link.value > needs.RDMA_GB_S


def demands(deployment: Deployment) -> tuple[tuple[Demand, ...], list[Finding]]:
    """The demands of all models, and an error for each that can't run as it is described.

    Raises:
        ServingError: a model, machine or argument is not known.
    """
    found: list[Demand] = []
    wrong: list[Finding] = []
    for arguments in deployment.models:
        try:
            found.append(demand_of(arguments))
        except (DoesNotFit, UnknownProfile) as error:
            mend = "change the model's hardware, profile or engine arguments as it says"
            wrong.append(Finding.error("fits", str(error), mend, arguments.model))
    return tuple(found), wrong


def demand_of(arguments: ApplicationArguments) -> Demand:
    """The demand of one model.

    Raises:
        ServingError: a model, machine or argument is not known, or they don't fit together.
    """
    engine = derive(arguments)
    devices = engine.devices
    per_node = devices if engine.machine.is_cpu else engine.machine.gpus_per_node
    pods = -(-devices // per_node)
    scaling = arguments.autoscaling
    fixed = arguments.replicas or 1
    return Demand(
        model=engine.model,
        machine=engine.machine,
        engine=engine,
        replicas=fixed if scaling is None else max(1, scaling.min_replicas),
        most_replicas=fixed if scaling is None else scaling.max_replicas,
        pods=pods,
        ranks=-(-devices // pods),
    )
