"""Rules on where an engine runs: processors, particular accelerators, the environment."""

from serving.catalog.architecture import DeepseekV3
from serving.engine.memory import UNIFIED_UTILIZATION
from serving.engine.rules.case import Case, Rule

LATENT_WIDTH = (512, 64)
"""kv_lora_rank and qk_rope_head_dim that vLLM's CPU kernel is compiled for."""
GONE = {
    "VLLM_ALL2ALL_BACKEND": "all2all_backend",
    "VLLM_ATTENTION_BACKEND": "attention_backend",
    "VLLM_USE_FLASHINFER_MOE_FP4": "moe_backend",
    "VLLM_USE_FLASHINFER_MOE_FP8": "moe_backend",
    "VLLM_MOE_DP_CHUNK_SIZE": "max_num_batched_tokens",
}
"""Variables that vLLM 0.29 does not read any more, with the argument that took their place."""
AITER = ("VLLM_ROCM_USE_AITER", "VLLM_ROCM_USE_AITER_MOE")
FLOPS_A_BYTE = 50.0
"""An H20 has 37 operations for each byte of its bandwidth, an H100 295."""


def _on(value: str | None) -> bool:
    return (value or "").strip().lower() in {"1", "true"}


def _gone(name: str, instead: str) -> Rule:
    return Rule(
        f"gone-{name.removeprefix('VLLM_').lower().replace('_', '-')}",
        f"environment: {name}",
        "warning",
        lambda case: name in case.environ,
        f"{name} is set, and vLLM {{case.version}} does not read it any more; unset it and give "
        f"the argument {instead}",
    )


def _latent_shape(case: Case) -> bool:
    a = case.model.architecture
    if not isinstance(a, DeepseekV3) or not case.machine.is_cpu:
        return False
    return (a.kv_lora_rank, a.qk_rope_head_dim) != LATENT_WIDTH


def _little_arithmetic(case: Case) -> bool:
    if case.gpu is None or not case.sparse:
        return False
    flops = 1000 * case.gpu.bf16_tflops.value
    return flops / case.gpu.bandwidth_gb_s.value < FLOPS_A_BYTE


RULES = (
    Rule(
        "latent-cpu-shape",
        "architecture, CPU",
        "error",
        _latent_shape,
        "vLLM's CPU kernel for latent attention is compiled for kv_lora_rank 512 and "
        "qk_rope_head_dim 64 only, {case.model.id} has {case.model.architecture.kv_lora_rank} and "
        "{case.model.architecture.qk_rope_head_dim}; take a GPU",
    ),
    Rule(
        "latent-cpu-block",
        "block_size, CPU",
        "error",
        lambda case: (
            case.latent_on_cpu
            and case.kwargs.get("attention_backend") == "CPU_MLA"
            and case.kwargs.get("block_size", 16) != 16
        ),
        "latent attention on processors works in blocks of 16, not of {case.kwargs[block_size]}; "
        "set block_size=16",
    ),
    Rule(
        "latent-cpu-float32",
        "attention_backend, dtype, CPU",
        "error",
        lambda case: (
            case.latent_on_cpu
            and case.kwargs.get("attention_backend") != "CPU_MLA"
            and case.kwargs.get("dtype") == "float32"
        ),
        "without attention_backend=CPU_MLA vLLM takes the AMX kernel where the processor has one, "
        "and that computes in bfloat16 only; set it, or dtype=bfloat16",
    ),
    Rule(
        "latent-cpu-cache",
        "kv_cache_dtype, CPU",
        "error",
        lambda case: (
            case.latent_on_cpu
            and case.kwargs.get("kv_cache_dtype", "auto") not in {"auto", case.kwargs.get("dtype")}
        ),
        "latent attention on processors keeps its cache in the model's own type, not in "
        "{case.kwargs[kv_cache_dtype]}; leave kv_cache_dtype out",
    ),
    Rule(
        "unified-memory",
        "gpu_memory_utilization, GPU",
        "warning",
        lambda case: (
            case.gpu is not None and case.gpu.unified_memory and case.share > UNIFIED_UTILIZATION
        ),
        "{case.device} shares its memory with the system: at gpu_memory_utilization {case.share} "
        "the system may run out and kill the engine; set 0.85 or less",
    ),
    Rule(
        "little-arithmetic",
        "GPU, model",
        "warning",
        _little_arithmetic,
        "{case.device} has much bandwidth and little arithmetic: answers come as on its "
        "siblings, long prompts take several times longer; keep prompts short, prefixes shared, "
        "or work prompts through elsewhere",
    ),
    Rule(
        "amd-without-aiter",
        "environment: VLLM_ROCM_USE_AITER",
        "warning",
        lambda case: (
            case.sparse
            and case.gpu is not None
            and case.gpu.vendor == "amd"
            and not all(_on(case.environ.get(name)) for name in AITER)
        ),
        "on {case.device} the fast kernels for experts and latent attention are off unless "
        "VLLM_ROCM_USE_AITER=1 and VLLM_ROCM_USE_AITER_MOE=1 are set; set both",
    ),
    Rule(
        "routing-simulated",
        "environment: VLLM_MOE_ROUTING_SIMULATION_STRATEGY",
        "error",
        lambda case: bool(case.environ.get("VLLM_MOE_ROUTING_SIMULATION_STRATEGY")),
        "VLLM_MOE_ROUTING_SIMULATION_STRATEGY sends tokens to experts at random, for benchmarks "
        "of the network: answers are nonsense; unset it",
    ),
    Rule(
        "latent-attention-off",
        "environment: VLLM_MLA_DISABLE",
        "error",
        lambda case: case.sparse and _on(case.environ.get("VLLM_MLA_DISABLE")),
        "VLLM_MLA_DISABLE keeps every head's keys and values, some 70 times the cache of latent "
        "attention, and no plan here counts with that; unset it",
    ),
    Rule(
        "sleep-without-development",
        "enable_sleep_mode, environment: VLLM_SERVER_DEV_MODE",
        "warning",
        lambda case: (
            bool(case.kwargs.get("enable_sleep_mode"))
            and not _on(case.environ.get("VLLM_SERVER_DEV_MODE"))
        ),
        "enable_sleep_mode does nothing alone: the routes that send the engine to sleep exist only "
        "with VLLM_SERVER_DEV_MODE=1, which also opens others; keep the engine's port closed then",
    ),
    *(_gone(name, instead) for name, instead in GONE.items()),
)
