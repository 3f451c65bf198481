"""A checkpoint's config.json from the catalog's numbers, for asking an engine without a download.

It has what an engine's checks look at: sizes, positions, the mixture of experts and the format of
the weights. What is needed to compute (norms' epsilon, the base of the rotary embedding) is that
of the family, and not of use where weights are loaded.
"""

from typing import Any

from serving.catalog.architecture import DeepseekV3, Llama
from serving.catalog.builds import Build
from serving.catalog.model import Model

_FP8_BLOCKS = {
    "quant_method": "fp8",
    "fmt": "e4m3",
    "activation_scheme": "dynamic",
    "weight_block_size": [128, 128],
}
# llm-compressor leaves the output head as it is.
_COMPRESSED: dict[str, Any] = {"quant_method": "compressed-tensors", "ignore": ["lm_head"]}
_GROUP = 128
_YARN = {
    "type": "yarn",
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}


def config_of(model: Model) -> dict[str, Any]:
    """The fields of a model's config.json under the names that transformers gives them."""
    a = model.architecture
    found: dict[str, Any] = a.model_dump(exclude={"kind", "rope_scaling", "head_dim"})
    found |= {"model_type": a.kind, "hidden_act": "silu", "rms_norm_eps": 1e-6}
    found["torch_dtype"] = "float32" if model.weights.format == "float32" else "bfloat16"
    if isinstance(a, DeepseekV3):
        found |= {
            "architectures": ["DeepseekV3ForCausalLM"],
            "num_key_value_heads": a.num_attention_heads,
            "topk_method": "noaux_tc",
            "scoring_func": "sigmoid",
            "norm_topk_prob": True,
            "routed_scaling_factor": 2.5,
            "moe_layer_freq": 1,
            "rope_theta": 10000.0,
            "rope_scaling": {**_YARN, **a.rope_scaling.model_dump()},
        }
    else:
        family = "Llama" if isinstance(a, Llama) else "Qwen2"
        found |= {"architectures": [f"{family}ForCausalLM"], "rope_theta": 1000000.0}
    quantised = _quantisation(model.weights)
    return found if quantised is None else {**found, "quantization_config": quantised}


def _quantisation(build: Build) -> dict[str, Any] | None:
    """A build's `quantization_config`, as those who make the format write it.

    None for what no engine of ours reads, and for weights that are not quantised.
    """
    rows = {"type": "float", "num_bits": 8, "strategy": "channel", "symmetric": True}
    tokens = {**rows, "strategy": "token", "dynamic": True}
    match build.format:
        case "fp8_block":
            return _FP8_BLOCKS
        case "fp8_dynamic":
            return _compressed("float-quantized", rows, tokens)
        case "w8a8_int8":
            whole = {"type": "int"}
            return _compressed("int-quantized", {**rows, **whole}, {**tokens, **whole})
        case "w4a16_gptq":
            group = {"type": "int", "num_bits": 4, "strategy": "group", "symmetric": True}
            size = {"group_size": build.group or _GROUP}
            return _compressed("pack-quantized", {**group, **size}, None)
        case "w4a16_awq":
            size = {"group_size": build.group or _GROUP}
            return {"quant_method": "awq", "bits": 4, "zero_point": True, "version": "gemm", **size}
        case "nvfp4":
            left = [] if "attention" in build.quantised else ["*self_attn*"]
            excluded = {"exclude_modules": ["lm_head", *left], "group_size": 16}
            return {"quant_method": "modelopt", "quant_algo": "NVFP4", **excluded}
        case _:
            return None


def _compressed(
    layout: str, weights: dict[str, Any], inputs: dict[str, Any] | None
) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {**_COMPRESSED, "format": layout, "config_groups": {"group_0": group}}
