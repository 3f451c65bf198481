"""Profiles: named ways to serve a model on a machine."""

from dataclasses import dataclass

from serving.catalog.architecture import DeepseekV3
from serving.catalog.model import Model
from serving.hardware import Machine

DEFAULT = "default"
"""Stands for the first profile of a model on a machine where none has this name itself."""
BLACKWELL = (10, 0)
"""Compute capability from which on tensor cores multiply FP4."""
ROOMY_GIB = 100.0
"""Memory of a GPU of which eight hold the 671B models in FP8 and a KV cache."""
REDUNDANT_EXPERTS = 32
"""Copies of busy experts that all ranks together keep: one for eight experts, as DeepSeek serves
(DeepSeek-V3 technical report, arXiv 2412.19437, section 3.4.1)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a model's replicas follow its load."""

    least: int = 1
    """Replicas that are kept while nobody asks."""
    up_s: float = 10.0
    """So long must more be wanted."""
    down_s: float = 600.0
    """So long must fewer be wanted."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A way to serve; engine arguments are derived from it."""

    name: str
    purpose: str
    build: str | None = None
    """One of the model's builds; None serves its first."""
    tensor: int | None = None
    """Ranks of tensor parallelism; None lets memory decide."""
    doubled: bool = False
    """Twice the ranks that memory asks for, where the model and the node have them."""
    pipeline: int = 1
    data: int = 1
    expert: bool = False
    redundant: int = 0
    """Copies of busy experts over all ranks, which vLLM moves to where the load is (EPLB)."""
    mtp_tokens: int = 0
    """Tokens that the model's own prediction layers draft in each step."""
    max_num_seqs: int = 256
    """Requests that decode together, on each data rank."""
    step_tokens: int = 8192
    """Tokens that a step computes at most on each data rank, prompts and answers together."""
    pace: Pace | None = None
    """None: as many replicas as a deployment says, one if it says nothing."""


_CPU = Profile(
    "default", "one process on the processors", tensor=1, max_num_seqs=32, step_tokens=2048
)
_CPU_TP2_EP = Profile(
    "tp2-ep",
    "tensor and expert parallel on two processes: a proof that both work, slower than one",
    tensor=2,
    expert=True,
    max_num_seqs=32,
)
_CPU_DP2_EP = Profile(
    "dp2-ep",
    "two engines with caches of their own that share the experts: a proof that it works",
    tensor=1,
    data=2,
    expert=True,
    max_num_seqs=32,
)
_DISTILL = (
    Profile("default", "as few GPUs as hold the weights and one long context", pace=Pace()),
    Profile(
        "latency",
        "twice the GPUs and few requests together: the lowest time per token",
        doubled=True,
        max_num_seqs=32,
        pace=Pace(up_s=5.0),
    ),
    Profile(
        "throughput",
        "as few GPUs as possible with many requests each: the lowest price per token",
        max_num_seqs=512,
        step_tokens=16384,
        pace=Pace(up_s=30.0),
    ),
    Profile(
        "compact",
        "4-bit weights, computed in 16 bits: on the smallest GPUs, and with the most context",
        build="w4a16",
        pace=Pace(),
    ),
    Profile(
        "on-demand",
        "no replica while nobody asks; the first request waits for a cold start",
        pace=Pace(least=0, up_s=0.0, down_s=1800.0),
    ),
)


def _latency(ranks: int, *, build: str | None = None, drafts: int = 1) -> Profile:
    drafted = f", MTP drafts {drafts} token" if drafts else ""
    return Profile(
        "latency",
        f"lowest time per token: {ranks}-way tensor parallel with whole experts{drafted}",
        build=build,
        tensor=ranks,
        expert=True,
        mtp_tokens=drafts,
        max_num_seqs=64,
    )


def _throughput(
    ranks: int, name: str = "throughput", *, build: str | None = None, redundant: int
) -> Profile:
    return Profile(
        name,
        f"most tokens a GPU: attention data-parallel, experts spread over all {ranks}, KV cache "
        "not copied" + (", busy experts balanced" if redundant else ""),
        build=build,
        tensor=1,
        data=ranks,
        expert=True,
        redundant=redundant,
    )


_TWO_NODE = Profile(
    "two-node",
    "8-way tensor parallel in a node, two pipeline stages over the nodes",
    tensor=8,
    pipeline=2,
    expert=True,
    max_num_seqs=128,
)
_COMPACT = Profile(
    "compact",
    "4-bit weights, computed in 16 bits: the whole model on 8 GPUs of 80 GB",
    build="w4a16",
    tensor=8,
    max_num_seqs=64,
)


def profiles_for(model: Model, machine: Machine) -> tuple[Profile, ...]:
    """The profiles of a model on a machine, the usual one first; none where it can't run there.

    Whether a profile's memory suffices is not decided here.
    """
    sparse = isinstance(model.architecture, DeepseekV3)
    if machine.is_cpu:
        if model.weights.format == "fp8_block":
            return ()
        return (_CPU, _CPU_TP2_EP, _CPU_DP2_EP) if sparse else (_CPU,)
    if model.weights.path is not None:
        return ()
    builds = {build.id for build in model.builds}
    if sparse:
        found = _sparse(machine, fp4="nvfp4" in builds)
    else:
        found = _DISTILL if machine.nodes == 1 else ()
    return tuple(each for each in found if each.build is None or each.build in builds)


def _sparse(machine: Machine, *, fp4: bool) -> tuple[Profile, ...]:
    """The 671B models' profiles, by what the machine's GPUs hold and have kernels for.

    Args:
        machine: with GPUs.
        fp4: there are weights in FP4.
    """
    gpu, ranks = machine.gpu, machine.gpus
    if gpu is None or ranks < 4:
        return ()
    capability = gpu.capability
    if fp4 and capability is not None and capability >= BLACKWELL:
        spread = _throughput(ranks, build="nvfp4", redundant=_redundant(ranks))
        return (_latency(ranks, build="nvfp4"), spread) if machine.nodes == 1 else (spread,)
    if machine.gpus_per_node < 8:
        return ()
    if machine.nodes > 1:
        pipelined = (_TWO_NODE,) if machine.nodes == 2 else ()
        name = "two-node-throughput" if machine.nodes == 2 else "throughput"
        return (*pipelined, _throughput(ranks, name, redundant=_redundant(ranks)))
    if gpu.vendor == "amd":
        # Neither drafts nor balanced experts are among what AMD's own recipes for R1 use.
        return (_latency(8, drafts=0), _throughput(8, redundant=0))
    whole = (_latency(8), _throughput(8, redundant=_redundant(8)))
    roomy = gpu.memory_gib.value >= ROOMY_GIB
    return (*whole, _COMPACT) if roomy else (_COMPACT, *whole)


def _redundant(ranks: int) -> int:
    """Copies that can be spread evenly over the ranks beside the 256 experts."""
    return REDUNDANT_EXPERTS if (256 + REDUNDANT_EXPERTS) % ranks == 0 else 0
