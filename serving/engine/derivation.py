"""Engine arguments with their reasons, derived from model, machine, profile and overrides. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.catalog.architecture import DeepseekV3
from serving.catalog.model import Model
from serving.engine.checks import redundant_experts
from serving.engine.memory import (
    Layout,
    default_utilization,
    kv_budget_bytes,
    kv_bytes_per_token_per_rank,
)
from serving.engine.profiles import Profile
from serving.hardware import Machine

AMPERE = (8, 0)
"""Compute capability from which on there is bfloat16."""
CONTEXT_STEP = 1024
SHORTEST_CONTEXT = 8192
"""Below this a reasoning model rarely reaches its answer, so a plan rather refuses."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One engine argument and the reason for its value."""

    name: str
    value: Any
    why: str


def derive(
    model: Model, machine: Machine, profile: Profile, overrides: Mapping[str, Any]
) -> list[Argument]:
    """The arguments before overrides are laid over them.

    Overrides are looked at where other values follow from them: parallel sizes, context, memory.
    """
    layout = choose_layout(model, machine, profile, overrides)
    context, why_context = _context(model, machine, layout, overrides)
    found = [
        _dtype(model, machine),
        Argument("max_model_len", context, why_context),
        *_parallel(profile, layout),
        *_scheduling(model, machine, profile, context),
        *_parsers(model),
    ]
    if machine.is_cpu:
        sequences = int(overrides.get("max_num_seqs", profile.max_num_seqs))
        room = _kv_tokens(model, machine, layout, overrides)
        return found + _cpu(model, layout, context, sequences, room)
    return [*found, _utilization(machine)]


def _dtype(model: Model, machine: Machine) -> Argument:
    capability = None if machine.gpu is None else machine.gpu.capability
    if capability is not None and capability < AMPERE:
        return Argument("dtype", "float16", "the GPU has no bfloat16")
    dtype = "float32" if model.weights.format == "float32" else "bfloat16"
    return Argument("dtype", dtype, f"the weights are {model.weights.format}")


def choose_layout(
    model: Model, machine: Machine, profile: Profile, overrides: Mapping[str, Any]
) -> Layout:
    """The layout that the overrides and the profile give.

    Where neither fixes tensor parallelism: the fewest GPUs of a node that hold the weights and
    the served context, else all that the heads can be split over.
    """
    drafts = profile.mtp_tokens > 0
    if "speculative_config" in overrides:
        drafts = (overrides["speculative_config"] or {}).get("method") == "mtp"
    usual = {"eplb_config": {"num_redundant_experts": profile.redundant}}
    copies = redundant_experts({**usual, **overrides}, balanced=profile.redundant > 0)

    def layout(tensor: int) -> Layout:
        return Layout(
            tensor=tensor,
            pipeline=int(overrides.get("pipeline_parallel_size", profile.pipeline)),
            data=int(overrides.get("data_parallel_size", profile.data)),
            expert=bool(overrides.get("enable_expert_parallel", profile.expert)),
            mtp=drafts,
            redundant=copies,
        )

    fixed = overrides.get("tensor_parallel_size", profile.tensor)
    if fixed is not None:
        return layout(int(fixed))
    heads = model.architecture.num_attention_heads
    possible = [n for n in (1, 2, 4, 8) if n <= machine.gpus_per_node and heads % n == 0]
    for tensor in possible:
        if _kv_tokens(model, machine, layout(tensor), overrides) >= model.context.served:
            doubled = profile.doubled and 2 * tensor in possible
            return layout(2 * tensor if doubled else tensor)
    return layout(possible[-1])


def _kv_tokens(model: Model, machine: Machine, layout: Layout, overrides: Mapping[str, Any]) -> int:
    budget = kv_budget_bytes(
        model, machine, layout, utilization=overrides.get("gpu_memory_utilization")
    )
    per_token = kv_bytes_per_token_per_rank(
        model, layout, cache_dtype=overrides.get("kv_cache_dtype")
    )
    return budget // per_token


def _context(
    model: Model, machine: Machine, layout: Layout, overrides: Mapping[str, Any]
) -> tuple[int, str]:
    """Context length in tokens: the catalog's, or what the KV cache of one rank can hold."""
    if "max_model_len" in overrides:
        return int(overrides["max_model_len"]), "override"
    served = model.context.served
    tokens = _kv_tokens(model, machine, layout, overrides)
    if SHORTEST_CONTEXT <= tokens < served:
        return tokens // CONTEXT_STEP * CONTEXT_STEP, f"what memory leaves of {served:,}"
    return served, "the catalog's served context"


def _parallel(profile: Profile, layout: Layout) -> list[Argument]:
    why = "the profile's" if profile.tensor else "the fewest that hold weights and context"
    found = [Argument("tensor_parallel_size", layout.tensor, why)]
    if layout.pipeline > 1:
        found.append(Argument("pipeline_parallel_size", layout.pipeline, "one stage a node"))
    if layout.data > 1:
        found.append(Argument("data_parallel_size", layout.data, "a KV cache of its own each"))
    if profile.expert:
        found.append(Argument("enable_expert_parallel", True, "whole experts on each rank"))
    if profile.redundant:
        copies = {"num_redundant_experts": profile.redundant}
        found += [
            Argument("enable_eplb", True, "moves copies of busy experts to where the load is"),
            Argument("eplb_config", copies, f"{profile.redundant} copies beside one of each"),
        ]
    if profile.mtp_tokens:
        drafts = {"method": "mtp", "num_speculative_tokens": profile.mtp_tokens}
        why = "the model's own prediction layer drafts"
        found.append(Argument("speculative_config", drafts, why))
    return found


def _scheduling(model: Model, machine: Machine, profile: Profile, context: int) -> list[Argument]:
    found = [Argument("max_num_seqs", profile.max_num_seqs, "requests that decode together")]
    if machine.is_cpu and isinstance(model.architecture, DeepseekV3):
        why = "latent attention on CPU can't"
        return [
            *found,
            Argument("max_num_batched_tokens", context, "a whole prompt in one step"),
            Argument("enable_chunked_prefill", False, why),
            Argument("enable_prefix_caching", False, why),
        ]
    return [
        *found,
        Argument("max_num_batched_tokens", profile.step_tokens, "tokens computed in one step"),
        Argument("enable_prefix_caching", True, "shared beginnings are computed once"),
    ]


def _utilization(machine: Machine) -> Argument:
    shared = machine.gpu is not None and machine.gpu.unified_memory
    why = "the rest is the system's, which shares the memory" if shared else "vLLM's default"
    return Argument("gpu_memory_utilization", default_utilization(machine), why)


def _parsers(model: Model) -> list[Argument]:
    sampling = {"temperature": model.sampling.temperature, "top_p": model.sampling.top_p}
    found = [
        Argument("reasoning_parser", model.parsers.reasoning, "splits thinking from answer"),
        Argument("override_generation_config", sampling, "authors' advice, if a caller is silent"),
        Argument("enable_prompt_tokens_details", True, "usage tells cached prompt tokens"),
    ]
    tools = model.parsers.tools
    if tools is not None:
        found += [
            Argument("enable_auto_tool_choice", True, "the model may call tools"),
            Argument("tool_call_parser", tools.parser, "reads the model's tool calls"),
            Argument("chat_template", str(tools.template_path), "shows tools to the model"),
        ]
    return found


def _cpu(model: Model, layout: Layout, context: int, sequences: int, room: int) -> list[Argument]:
    latent = isinstance(model.architecture, DeepseekV3)
    # A quarter of the context for each request: few answers use more, and what finds no room
    # waits. At least four whole contexts, at most what the memory has.
    room = room // CONTEXT_STEP * CONTEXT_STEP
    tokens = max(context, min(room, max(4 * context, sequences * context // 4)))
    size = kv_bytes_per_token_per_rank(model, layout) * tokens
    why = f"{tokens:,} tokens a rank; vLLM alone would take most of the memory"
    found = [
        Argument("kv_cache_memory_bytes", size, why),
        Argument("block_size", 16 if latent else 32, "what the CPU kernel takes"),
        Argument("enforce_eager", True, "starts sooner; as fast at this size"),
    ]
    if latent:
        why = "the AMX kernel computes in bfloat16 only"
        found.append(Argument("attention_backend", "CPU_MLA", why))
    return found
