"""Where a GPU's memory goes: weights, copies of hot experts, KV cache, the engine's own, a rest."""

from dataclasses import dataclass, replace

from serving.catalog.model import Model
from serving.engine.memory import (
    Layout,
    default_utilization,
    kv_budget_bytes,
    kv_bytes_per_token_per_rank,
    weight_bytes_per_rank,
)
from serving.hardware import Machine


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """Bytes of one rank; the five parts make up the whole."""

    whole: int
    weights: int
    redundant: int
    """Copies of hot experts (EPLB)."""
    kv_cache: int
    """Never below 0; `short` tells what is missing."""
    engine: int
    """Activations, graphs, communication buffers."""
    untouched: int
    """Left alone: what is beyond the engine's share of the memory."""
    kv_bytes_per_token: int
    short: int = 0
    """Bytes that the weights alone lack."""

    @property
    def kv_tokens(self) -> int:
        """Tokens that the KV cache of the rank holds."""
        return self.kv_cache // self.kv_bytes_per_token


def memory_map(
    model: Model,
    machine: Machine,
    layout: Layout,
    *,
    cache_dtype: str = "auto",
    utilization: float | None = None,
) -> MemoryMap:
    """Where the memory of the fullest rank goes.

    Args:
        model: in the build that is served.
        machine: what it runs on.
        layout: how it is spread.
        cache_dtype: vLLM's `kv_cache_dtype`.
        utilization: share of the memory that the engine takes; None for the usual one.
    """
    share = default_utilization(machine) if utilization is None else utilization
    # The ranks of a CPU engine share the node's memory.
    whole = machine.memory_bytes // (layout.devices if machine.is_cpu else 1)
    weights = weight_bytes_per_rank(model, replace(layout, redundant=0))
    redundant = weight_bytes_per_rank(model, layout) - weights
    budget = kv_budget_bytes(model, machine, layout, utilization=share)
    taken = int(whole * share)
    return MemoryMap(
        whole=whole,
        weights=weights,
        redundant=redundant,
        kv_cache=max(0, budget),
        engine=taken - weights - redundant - budget,
        untouched=whole - taken,
        kv_bytes_per_token=kv_bytes_per_token_per_rank(model, layout, cache_dtype=cache_dtype),
        short=max(0, -budget),
    )
