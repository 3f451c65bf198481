"""What one rank of an engine holds in memory: weights and KV cache. Pure arithmetic.

This is the part of a plan that engine arguments need: whether the weights fit and how many tokens
of KV cache are left. The roofline and the limits under load come on top of it.
"""

from dataclasses import dataclass

from serving.catalog.architecture import DeepseekV3
from serving.catalog.arithmetic import (
    AnyArchitecture,
    fp8_block_bytes,
    kv_bytes_per_token,
    mtp_parameters,
    parameters,
)
from serving.catalog.model import Model
from serving.hardware import Machine

GPU_MEMORY_UTILIZATION = 0.92
"""vLLM's own default: the part of a GPU's memory that the engine takes."""
CPU_MEMORY_UTILIZATION = 0.75
"""The part of a computer's memory that an engine may plan with; the rest is for everything else."""
RESERVE_BYTES = 1_500_000_000
RESERVE_SHARE = 0.05
"""Kept for activations, graphs and communication buffers: a fixed part and a part of the memory.
An assumption, on the careful side; the engine measures the real figure when it starts."""

_ELEMENT_BYTES = {"bfloat16": 2, "float32": 4, "fp8_block": 2}
"""Bytes of a KV cache entry by the type of the weights; block-wise FP8 computes in bfloat16."""
_WEIGHT_BYTES = {"bfloat16": 2, "float32": 4}


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
    a = model.architecture
    total = _weight_bytes(model, mtp=layout.mtp)
    routed = _routed_bytes(model, a, mtp=layout.mtp)
    spread = layout.tensor * (layout.data if layout.expert else 1)
    return -(-((total - routed) // layout.tensor + routed // spread) // layout.pipeline)


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
    size = 1 if fp8 else _ELEMENT_BYTES[model.weights.dtype]
    whole = kv_bytes_per_token(a, element_bytes=size, mtp=layout.mtp)
    split = 1 if isinstance(a, DeepseekV3) else min(layout.tensor, a.num_key_value_heads)
    return -(-whole // (split * layout.pipeline))


def kv_budget_bytes(
    model: Model, machine: Machine, layout: Layout, *, utilization: float | None = None
) -> int:
    """Bytes left for the KV cache of one rank; negative where not even the weights fit."""
    # The ranks of a CPU engine share the node's memory; each GPU rank has its own.
    sharing = layout.devices if machine.is_cpu else 1
    default = CPU_MEMORY_UTILIZATION if machine.is_cpu else GPU_MEMORY_UTILIZATION
    share = default if utilization is None else utilization
    memory = machine.memory_bytes
    reserve = RESERVE_BYTES + memory * RESERVE_SHARE
    return int((memory * share - reserve) / sharing) - weight_bytes_per_rank(model, layout)


def _weight_bytes(model: Model, *, mtp: bool) -> int:
    a = model.architecture
    if model.weights.dtype == "fp8_block" and isinstance(a, DeepseekV3):
        return fp8_block_bytes(a, mtp=mtp)
    count = parameters(a).total + (mtp_parameters(a) if mtp else 0)
    return count * _WEIGHT_BYTES[model.weights.dtype]


def _routed_bytes(model: Model, a: AnyArchitecture, *, mtp: bool) -> int:
    if not isinstance(a, DeepseekV3):
        return 0
    sparse_layers = a.num_hidden_layers - a.first_k_dense_replace
    layers = sparse_layers + (a.num_nextn_predict_layers if mtp else 0)
    element = 1 if model.weights.dtype == "fp8_block" else _WEIGHT_BYTES[model.weights.dtype]
    return parameters(a).routed // max(sparse_layers, 1) * layers * element
