"""The catalog's models and machines as the numbers that predictions are made from."""

from typing import get_args

from serving.catalog.architecture import DeepseekV3
from serving.catalog.arithmetic import parameters
from serving.catalog.formats import FACTS
from serving.catalog.model import Model
from serving.engine.memory import Layout, kv_bytes_per_token_per_rank
from serving.hardware import Machine
from serving.hardware.gpu import NumberType
from serving.plan.figures import HardwareFigures, ModelFigures, Part, Precision

LATENT_KERNELS = (14, 16)
"""Kernels of a layer of DeepSeek-V3 in a chain: two norms, quantising, projections down and up,
rotation, two absorbed products, cache, attention in two parts, output; router with its choice,
alignment, experts with quantising, activation and sum, the shared expert, norm."""
GROUPED_KERNELS = (8, 4)
"""Of a dense layer with grouped-query attention: norm, projections, rotation, cache, attention in
two parts, output, sum; norm, gate and up, activation, down."""


def model_figures(model: Model, *, cache_dtype: str | None = None) -> ModelFigures:
    """Numbers of a model in the build that it is served from.

    Args:
        model: from the catalog, `model.using(build)` for a certain build.
        cache_dtype: vLLM's `kv_cache_dtype`, where it is not the weights' own.
    """
    a, build = model.architecture, model.weights
    count, size = parameters(a), model.weight_bytes
    narrow: Precision = FACTS[build.format].compute
    plain: Precision = "fp32" if build.format == "float32" else "bf16"

    def part(parameters: float, weight: float, place: str | None) -> Part:
        return Part(parameters, weight, narrow if place in build.quantised else plain)

    latent = isinstance(a, DeepseekV3)
    copied = sparse = experts = chosen = width = 0
    if isinstance(a, DeepseekV3):
        sparse = a.num_hidden_layers - a.first_k_dense_replace
        experts, chosen, width = a.n_routed_experts, a.num_experts_per_tok, a.moe_intermediate_size
        down = a.q_lora_rank + a.kv_lora_rank + a.qk_rope_head_dim
        copied = a.num_hidden_layers * a.hidden_size * down
        heads = a.num_attention_heads * a.num_hidden_layers
        # Decoding absorbs the projections and works on the latent vectors, prefill does not.
        decode = 2 * heads * (2 * a.kv_lora_rank + a.qk_rope_head_dim)
        prefill = heads * (a.qk_nope_head_dim + a.qk_rope_head_dim + a.v_head_dim)
    else:
        decode = 4 * a.num_attention_heads * a.head_dim * a.num_hidden_layers
        prefill = decode // 2
    share = copied / count.attention
    return ModelFigures(
        layers=a.num_hidden_layers,
        sparse_layers=sparse,
        hidden=a.hidden_size,
        attention=part(count.attention - copied, size.attention * (1 - share), "attention"),
        copied=part(
            copied + count.router + count.norms,
            size.attention * share + size.router + size.norms,
            "attention",
        ),
        dense=part(count.dense, size.dense, "dense"),
        expert=part(count.routed / max(1, experts), size.routed / max(1, experts), "routed"),
        # A tied head is the embedding, read once more.
        head=part(count.head or count.embedding, size.head or size.embedding, None),
        experts=experts,
        chosen=chosen,
        expert_width=width,
        kv_bytes_per_token=_kv_bytes(model, cache_dtype),
        kv_heads=1 if isinstance(a, DeepseekV3) else a.num_key_value_heads,
        decode_flops_per_context_token=decode,
        prefill_flops_per_context_token=prefill,
        attends="fp8" if (cache_dtype or "").startswith("fp8") else "bf16",
        kernels_per_layer=LATENT_KERNELS if latent else GROUPED_KERNELS,
    )


def _kv_bytes(model: Model, cache_dtype: str | None) -> float:
    return kv_bytes_per_token_per_rank(model, Layout(), cache_dtype=cache_dtype)


def hardware_figures(machine: Machine) -> HardwareFigures:
    """Numbers of a machine; a computer without GPUs counts as one accelerator."""
    chip = machine.gpu or machine.processor
    if chip is None:
        raise ValueError(f"{machine.id} has neither gpu nor processor; describe one")
    rates = {each: chip.tflops.of(each) for each in get_args(NumberType)}
    within, between = machine.link_within_node_gb_s, machine.link_between_nodes_gb_s
    return HardwareFigures(
        gpus_per_node=max(1, machine.gpus_per_node),
        nodes=machine.nodes,
        bandwidth_bytes_s=chip.bandwidth_gb_s.value * 1e9,
        flops={each: rate * 1e12 for each, rate in rates.items() if rate is not None},
        link_within_bytes_s=within.value * 1e9 if within else 0.0,
        link_between_bytes_s=between.value * 1e9 if between else 0.0,
    )
