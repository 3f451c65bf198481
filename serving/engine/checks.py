"""Sizes that must fit each other: ranks, experts, lengths, memory. Pure.

What is known to go wrong beside that is in `serving.engine.rules`.
"""

from collections.abc import Mapping
from typing import Any

from serving.catalog.architecture import DeepseekV3
from serving.catalog.model import Model
from serving.engine.memory import (
    Layout,
    kv_budget_bytes,
    kv_bytes_per_token_per_rank,
    weight_bytes_per_rank,
)
from serving.errors import DoesNotFit
from serving.hardware import Machine

GB = 1_000_000_000
BALANCED = ("float32", "bfloat16", "fp8_block", "nvfp4")
"""Formats whose experts vLLM's balancer can move (`supports_eplb` of their MoE methods)."""
WHOLE_NUMBERS = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "prefill_context_parallel_size",
    "decode_context_parallel_size",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_cache_memory_bytes",
)


def check_numbers(overrides: Mapping[str, Any]) -> None:
    """Refuse sizes that are no whole number above 0, and a share of memory that is none.

    Other arguments are derived from them.

    Raises:
        DoesNotFit: with the argument's name.
    """
    for name in WHOLE_NUMBERS:
        value = overrides.get(name, 1)
        if not isinstance(value, int) or value < 1:
            raise DoesNotFit(f"{name} is {value!r}; give a whole number of 1 or more")
    share = overrides.get("gpu_memory_utilization")
    if share is not None and not (isinstance(share, float | int) and 0 < share <= 1):
        raise DoesNotFit(f"gpu_memory_utilization is {share!r}; give a share, above 0 and up to 1")


def check(model: Model, machine: Machine, kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments with which the engine would not start or would serve wrongly.

    Args:
        model: from the catalog.
        machine: where it runs.
        kwargs: the arguments with all overrides laid over them.

    Raises:
        DoesNotFit: with what contradicts what, and the mend.
    """
    layout = layout_of(kwargs)
    _devices(machine, layout)
    _heads(model, layout)
    _experts(model, layout, kwargs)
    _lengths(model, machine, kwargs)
    _memory(model, machine, layout, kwargs)


def layout_of(kwargs: Mapping[str, Any]) -> Layout:
    """The layout that arguments describe."""
    drafts = kwargs.get("speculative_config") or {}
    return Layout(
        tensor=kwargs.get("tensor_parallel_size", 1),
        pipeline=kwargs.get("pipeline_parallel_size", 1),
        data=kwargs.get("data_parallel_size", 1),
        expert=kwargs.get("enable_expert_parallel", False),
        mtp=drafts.get("method") == "mtp",
        redundant=redundant_experts(kwargs),
    )


def redundant_experts(kwargs: Mapping[str, Any], *, balanced: bool = False) -> int:
    """Copies of experts that arguments ask for.

    Args:
        kwargs: engine arguments.
        balanced: whether experts are balanced where the arguments don't say.
    """
    if not kwargs.get("enable_eplb", balanced):
        return 0
    return int((kwargs.get("eplb_config") or {}).get("num_redundant_experts", 0))


def _devices(machine: Machine, layout: Layout) -> None:
    if not machine.is_cpu and layout.devices > machine.gpus:
        raise DoesNotFit(
            f"tensor {layout.tensor} × pipeline {layout.pipeline} × data {layout.data} parallel "
            f"needs {layout.devices} GPUs, but {machine.id} has {machine.gpus}; lower one of them"
        )


def _heads(model: Model, layout: Layout) -> None:
    a = model.architecture
    if a.num_attention_heads % layout.tensor:
        raise DoesNotFit(
            f"{model.id} has {a.num_attention_heads} attention heads, which tensor_parallel_size "
            f"{layout.tensor} does not divide; give a divisor"
        )
    if layout.pipeline > a.num_hidden_layers:
        raise DoesNotFit(
            f"{model.id} has {a.num_hidden_layers} layers, too few for "
            f"pipeline_parallel_size {layout.pipeline}; lower it"
        )
    if isinstance(a, DeepseekV3):
        return
    keys = a.num_key_value_heads
    if max(keys, layout.tensor) % min(keys, layout.tensor):
        raise DoesNotFit(
            f"{model.id} has {keys} key-value heads, which tensor_parallel_size {layout.tensor} "
            "neither divides nor is a multiple of; give another"
        )


def _experts(model: Model, layout: Layout, kwargs: Mapping[str, Any]) -> None:
    a = model.architecture
    if not isinstance(a, DeepseekV3):
        if layout.expert:
            raise DoesNotFit(f"{model.id} has no experts; leave enable_expert_parallel out")
        return
    ranks = layout.tensor * layout.data
    if kwargs.get("enable_eplb") and model.weights.format not in BALANCED:
        raise DoesNotFit(
            f"vLLM does not balance experts in {model.weights.format}; leave enable_eplb out or "
            "choose another build"
        )
    experts = a.n_routed_experts + layout.redundant
    if layout.expert and experts % ranks:
        raise DoesNotFit(
            f"the {experts} experts of {model.id} can't be spread evenly over {ranks} "
            "ranks (tensor × data parallel); give sizes whose product divides them"
        )
    if layout.mtp and not a.num_nextn_predict_layers:
        raise DoesNotFit(f"{model.id} has no prediction layer for MTP; unset speculative_config")


def _lengths(model: Model, machine: Machine, kwargs: Mapping[str, Any]) -> None:
    context = kwargs["max_model_len"]
    positions = model.architecture.max_position_embeddings
    if context > positions:
        raise DoesNotFit(
            f"{model.id} knows {positions:,} positions, but max_model_len is {context:,}; lower it"
        )
    if not machine.is_cpu or not isinstance(model.architecture, DeepseekV3):
        return
    if kwargs.get("enable_chunked_prefill") or kwargs.get("enable_prefix_caching"):
        raise DoesNotFit(
            "latent attention on CPU has neither chunked prefill nor prefix caching; "
            "leave enable_chunked_prefill and enable_prefix_caching off"
        )
    if kwargs["max_num_batched_tokens"] < context:
        raise DoesNotFit(
            f"without chunked prefill max_num_batched_tokens ({kwargs['max_num_batched_tokens']}) "
            f"must reach max_model_len ({context}); raise it or lower max_model_len"
        )


def _memory(model: Model, machine: Machine, layout: Layout, kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("quantization") is not None:
        # The catalog does not know what these weights weigh.
        return
    budget = kv_budget_bytes(
        model, machine, layout, utilization=kwargs.get("gpu_memory_utilization")
    )
    weights = weight_bytes_per_rank(model, layout) / GB
    memory = machine.memory_bytes / GB
    place = "the memory" if machine.is_cpu else "each GPU"
    if budget <= 0:
        raise DoesNotFit(
            f"{model.id} does not fit {machine.id}: {weights:.1f} GB of weights a rank leave "
            f"nothing of {place} ({memory:.1f} GB) for the KV cache; take a larger machine, more "
            "GPUs (tensor_parallel_size), a smaller model, or quantised weights "
            "(weights=… and quantization=…)"
        )
    per_token = kv_bytes_per_token_per_rank(model, layout, cache_dtype=kwargs.get("kv_cache_dtype"))
    needed = kwargs["max_model_len"] * per_token
    if needed > budget:
        raise DoesNotFit(
            f"{model.id} on {machine.id}: one request of max_model_len {kwargs['max_model_len']:,} "
            f"needs {needed / GB:.1f} GB of KV cache a rank, but {weights:.1f} GB of weights leave "
            f"{budget / GB:.1f} GB of {place}; lower max_model_len to {budget // per_token:,} or "
            "raise tensor_parallel_size"
        )
    explicit = kwargs.get("kv_cache_memory_bytes")
    if explicit is None:
        return
    if explicit < needed:
        raise DoesNotFit(
            f"kv_cache_memory_bytes {explicit:,} holds {explicit // per_token:,} tokens, less than "
            f"max_model_len {kwargs['max_model_len']:,}; raise it to {needed:,} or lower "
            "max_model_len"
        )
    if explicit > budget:
        raise DoesNotFit(
            f"kv_cache_memory_bytes {explicit:,} is more than the {budget:,} bytes that the "
            f"weights leave of {place}; lower it, or max_num_seqs and max_model_len"
        )
