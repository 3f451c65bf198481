"""Profiles: named ways to serve a model on a machine."""

from dataclasses import dataclass

from serving.catalog.architecture import DeepseekV3
from serving.catalog.model import Model
from serving.hardware import Machine

DEFAULT = "default"
"""Stands for the first profile of a model on a machine where none has this name itself."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A way to serve; engine arguments are derived from it."""

    name: str
    purpose: str
    tensor: int | None = None
    """Ranks of tensor parallelism; None lets memory decide."""
    pipeline: int = 1
    data: int = 1
    expert: bool = False
    mtp_tokens: int = 0
    """Tokens that the model's own prediction layers draft in each step."""
    max_num_seqs: int = 256
    """Requests that decode together, on each data rank."""


_CPU = Profile("default", "one process on the processors", tensor=1, max_num_seqs=32)
_CPU_TP2_EP = Profile(
    "tp2-ep",
    "tensor and expert parallel on two processes: a proof that both work, slower than one",
    tensor=2,
    expert=True,
    max_num_seqs=32,
)
_DISTILL = Profile("default", "as few GPUs as hold the weights and one long context")
_LATENCY = Profile(
    "latency",
    "lowest time per token: 8-way tensor parallel with whole experts, MTP drafts one token",
    tensor=8,
    expert=True,
    mtp_tokens=1,
    max_num_seqs=64,
)
_THROUGHPUT = Profile(
    "throughput",
    "most tokens a GPU: attention data-parallel, experts spread over all 8, KV cache not copied",
    tensor=1,
    data=8,
    expert=True,
)
_TWO_NODE = Profile(
    "two-node",
    "8-way tensor parallel in a node, two pipeline stages over the nodes",
    tensor=8,
    pipeline=2,
    expert=True,
    max_num_seqs=128,
)


def profiles_for(model: Model, machine: Machine) -> tuple[Profile, ...]:
    """The profiles of a model on a machine, the usual one first; none where it can't run there.

    Whether a profile's memory suffices is not decided here.
    """
    sparse = isinstance(model.architecture, DeepseekV3)
    if machine.is_cpu:
        if model.weights.dtype == "fp8_block":
            return ()
        return (_CPU, _CPU_TP2_EP) if sparse else (_CPU,)
    if model.weights.path is not None:
        return ()
    if not sparse:
        return (_DISTILL,) if machine.nodes == 1 else ()
    if machine.gpus_per_node < 8:
        return ()
    return (_LATENCY, _THROUGHPUT) if machine.nodes == 1 else (_TWO_NODE,)
