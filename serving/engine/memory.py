"""What one rank of an engine holds in memory: weights and KV cache. Pure arithmetic.

This is the part of a plan that engine arguments need: whether the weights fit and how many tokens
of KV cache are left. The roofline and the limits under load come on top of it.
"""

from dataclasses import dataclass

from serving.catalog.architecture import DeepseekV3
from serving.catalog.arithmetic import kv_bytes_per_token
from serving.catalog.model import Model
from serving.hardware import Machine

GPU_MEMORY_UTILIZATION = 0.92
"""vLLM's own default: the part of a GPU's memory that the engine takes."""
UNIFIED_UTILIZATION = 0.85
"""The same where the GPU's memory is the system's too."""
CPU_MEMORY_UTILIZATION = 0.75
"""The part of a computer's memory that an engine may plan with; the rest is for everything else."""
RESERVE_BYTES = 1_500_000_000
RESERVE_SHARE = 0.05
"""Kept for activations, graphs and communication buffers: a fixed part and a part of the memory.
An assumption, on the careful side; the engine measures the real figure when it starts."""
TENSOR_RESERVE_SHARE = 0.035
"""More of it where tensor parallelism's collectives have buffers: with it 8 × H200 hold 0.57
million tokens of DeepSeek-R1, of which GPUStack's report of vLLM 0.11 shows 0.52 in use."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How an engine is spread over devices."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: bool = False
    """Whole experts are spread over tensor × data ranks instead of slices of each."""
    mtp: bool = False
    """The multi-token-prediction layers are loaded."""
    redundant: int = 0
    """Copies of routed experts over all ranks, beside one of each."""

    @property
    def devices(self) -> int:
        """Devices of one engine group."""
        return self.tensor * self.pipeline * self.data


def weight_bytes_per_rank(model: Model, layout: Layout) -> int:
    """Bytes of weights on the fullest rank.

    Tensor parallelism splits nearly all tensors; data parallelism copies all but the routed
    experts, which expert parallelism spreads over the data ranks too. The small latent
    projections, which tensor parallelism copies, are below the reserve.
    """
    a, size = model.architecture, model.weight_bytes
    total = size.total if layout.mtp else size.without_mtp
    routed = size.routed + (size.mtp_routed if layout.mtp else 0)
    copies = routed * layout.redundant // a.n_routed_experts if isinstance(a, DeepseekV3) else 0
    spread = layout.tensor * (layout.data if layout.expert else 1)
    share = (total - routed) // layout.tensor + (routed + copies) // spread
    return -(-share // layout.pipeline)


def kv_bytes_per_token_per_rank(
    model: Model, layout: Layout, *, cache_dtype: str | None = None
) -> int:
    """Bytes that one token takes on one rank.

    Latent attention's single compressed head is copied to every tensor rank; key-value heads are
    split, down to one head a rank.

    Args:
        model: from the catalog.
        layout: how the engine is spread.
        cache_dtype: vLLM's `kv_cache_dtype`, where it is overridden.
    """
    a = model.architecture
    fp8 = cache_dtype is not None and cache_dtype.startswith("fp8")
    # Every format but float32 computes attention in 16 bits.
    size = 1 if fp8 else 4 if model.weights.format == "float32" else 2
    whole = kv_bytes_per_token(a, element_bytes=size, mtp=layout.mtp)
    split = 1 if isinstance(a, DeepseekV3) else min(layout.tensor, a.num_key_value_heads)
    return -(-whole // (split * layout.pipeline))


def default_utilization(machine: Machine) -> float:
    """The part of the memory that an engine takes where nothing else is said."""
    if machine.gpu is None:
        return CPU_MEMORY_UTILIZATION
    return UNIFIED_UTILIZATION if machine.gpu.unified_memory else GPU_MEMORY_UTILIZATION


def kv_budget_bytes(
    model: Model, machine: Machine, layout: Layout, *, utilization: float | None = None
) -> int:
    """Bytes left for the KV cache of one rank; negative where not even the weights fit."""
    # The ranks of a CPU engine share the node's memory; each GPU rank has its own.
    sharing = layout.devices if machine.is_cpu else 1
    default = default_utilization(machine)
    share = default if utilization is None else utilization
    memory = machine.memory_bytes
    collectives = TENSOR_RESERVE_SHARE if layout.tensor > 1 and not machine.is_cpu else 0.0
    reserve = RESERVE_BYTES + memory * (RESERVE_SHARE + collectives)
    return int((memory * share - reserve) / sharing) - weight_bytes_per_rank(model, layout)
