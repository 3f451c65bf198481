"""From engine arguments to what Ray Data's vLLM processor is given. Pure.

The engine's arguments are those of serving (`serving.engine.args`); what Ray asks beside them is
how many engines there are, on what devices each stands, and in what pieces it gets its lines.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from serving.catalog.model import Model
from serving.engine.args import EngineArguments
from serving.engine.checks import layout_of
from serving.engine.executor import EXPERT_WORKER
from serving.engine.profiles import DEFAULT, profiles_for
from serving.errors import DoesNotFit
from serving.hardware import Machine

THROUGHPUT = "throughput"
AHEAD = 1.25
"""Requests that an engine is given for each that it can decode: so that none of its places waits
for the next line."""
LONGEST_PIECE = 16
LINES_A_PIECE = 2000
RESTARTS = 3
"""How often Ray replaces an engine that died: a line that kills each must not do it for ever."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the worker is told: plain data, as JSON."""

    model: str
    source: str
    engine: Mapping[str, Any]
    """Fields of vLLM's AsyncEngineArgs and FrontendArgs."""
    environment: Mapping[str, str]
    processor: Mapping[str, Any]
    """Further fields of Ray's vLLMEngineProcessorConfig."""
    gpus: int
    """GPUs that all engines together need."""
    address: str | None
    """Of a running Ray cluster; None starts one on this machine."""

    @classmethod
    def of(
        cls, engine: EngineArguments, *, lines: int, engines: int | None, address: str | None
    ) -> Self:
        """Describe a job.

        Args:
            engine: the arguments of one engine.
            lines: how many lines it is to answer.
            engines: how many engines; None for as many as the machine holds.
            address: of a running Ray cluster.

        Raises:
            DoesNotFit: the machine is too small for so many engines, or has several nodes and
                there is no cluster.
        """
        kwargs, machine = engine.kwargs, engine.machine
        layout = layout_of(kwargs)
        room = 1 if machine.is_cpu else machine.gpus // layout.devices
        count = room if engines is None else engines
        if count > room:
            raise DoesNotFit(
                f"{engine.model.id} takes {layout.devices} GPUs of {machine.id}, so there is "
                f"room for {room} engine(s), not {count}; lower --engines"
            )
        if machine.nodes > 1 and address is None:
            raise DoesNotFit(
                f"{machine.id} has {machine.nodes} nodes: start Ray on them and give its address "
                "with --ray-address"
            )
        if machine.nodes > 1 and layout.data > 1:
            raise DoesNotFit(
                "Ray Data starts no data-parallel group over several nodes; take a profile with "
                "tensor and pipeline parallelism, or a machine of one node"
            )
        kwargs, environment = _executor(engine, layout.devices)
        bundle = {"CPU": 1} if machine.is_cpu else {"CPU": 1, "GPU": 1}
        piece = piece_length(lines)
        processor = {
            "batch_size": piece,
            "max_concurrent_batches": math.ceil(
                AHEAD * int(kwargs["max_num_seqs"]) * layout.data / piece
            ),
            "concurrency": (count, count),
            "placement_group_config": {"bundles": [bundle] * layout.devices},
            # A machine's own Ray need not call its GPUs as the catalog of shapes does.
            "accelerator_type": machine.gpu.ray_accelerator_type
            if machine.gpu is not None and address is not None
            else None,
        }
        return cls(
            model=engine.model.id,
            source=engine.source,
            engine=kwargs,
            environment=environment,
            processor=processor,
            gpus=0 if machine.is_cpu else count * layout.devices,
            address=address,
        )

    def document(self) -> dict[str, Any]:
        """The job as plain values."""
        return asdict(self)


def usual_profile(model: Model, machine: Machine) -> str:
    """The profile that a batch takes by itself: nobody waits for a single answer of it."""
    names = [each.name for each in profiles_for(model, machine)]
    # Its data-parallel group can't be had over several nodes.
    return THROUGHPUT if THROUGHPUT in names and machine.nodes == 1 else DEFAULT


def piece_length(lines: int) -> int:
    """How many lines Ray hands to an engine, and takes back, at once.

    Answers are written when the last one of their piece is there, so pieces are short: one line
    each, up to 2,000. Each piece costs Ray some milliseconds, so a long batch has longer ones.
    """
    return min(LONGEST_PIECE, max(1, lines // LINES_A_PIECE))


def _executor(engine: EngineArguments, devices: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The engine's arguments and environment with the executor that suits a Ray Data actor."""
    kwargs, environment = dict(engine.kwargs), dict(engine.env)
    if engine.machine.nodes > 1:
        kwargs["distributed_executor_backend"] = "ray"
    elif devices > 1:
        # All devices are in the actor's own node: it reserves them, and its processes share them.
        kwargs["distributed_executor_backend"] = "mp"
    else:
        kwargs["distributed_executor_backend"] = "uni"
    if not engine.machine.is_cpu:
        return kwargs, environment
    if devices == 1:
        # Else vLLM takes the multi-process executor on CPUs (see serving.engine.executor).
        environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    elif kwargs.get("enable_expert_parallel"):
        kwargs["worker_cls"] = EXPERT_WORKER
    return kwargs, environment
