"""Rules on the format of the weights: which engine reads it, which hardware computes in it."""

from serving.engine.rules.case import Case, Rule

AMPERE, BLACKWELL = (8, 0), (10, 0)

# The names that vLLM 0.29 maps for experts in each format (fused_moe/oracle); others raise.
MOE_BACKENDS = {
    "fp8": {
        "triton",
        "deep_gemm",
        "cutlass",
        "flashinfer_trtllm",
        "flashinfer_cutlass",
        "marlin",
        "humming",
        "aiter",
        "hpc",
    },
    "int8": {"triton", "humming"},
    "int4": {"triton", "marlin", "humming", "flashinfer_trtllm", "emulation"},
    "fp4": {
        "b12x",
        "cutlass",
        "flashinfer_trtllm",
        "flashinfer_cutlass",
        "flashinfer_cutedsl",
        "flashinfer_b12x",
        "marlin",
        "humming",
        "emulation",
    },
}


def _lacks(case: Case, number: str) -> bool:
    """Whether the accelerator has no units for a type; processors are not looked at."""
    return case.gpu is not None and getattr(case.gpu.tflops, number) is None


def _gguf(case: Case) -> bool:
    published = case.published and case.family == "gguf"
    return published or case.source.lower().endswith(".gguf")


def _wrong_experts(case: Case) -> bool:
    backend = case.kwargs.get("moe_backend") or "auto"
    known = MOE_BACKENDS.get(case.family)
    return case.sparse and known is not None and backend not in known | {"auto"}


RULES = (
    Rule(
        "gguf",
        "build, vLLM",
        "error",
        _gguf,
        "vLLM {case.version} reads no GGUF, and never read that of the 671B model: serve it with "
        "llama.cpp or Ollama as an upstream of the gateway, or take {case.other_builds}",
    ),
    Rule(
        "other-engine",
        "build, vLLM",
        "error",
        lambda case: case.published and case.family != "gguf" and "vllm" not in case.build.engines,
        "build {case.build.id} of {case.model.id} is packed for {case.build.engines[0]}, vLLM does "
        "not read it; take {case.other_builds}, or give weights of your own in the same format",
    ),
    Rule(
        "old-vllm",
        "build, vLLM",
        "error",
        lambda case: case.published and case.newer_than(case.build.least_vllm),
        "build {case.build.id} of {case.model.id} needs vLLM {case.build.least_vllm} or newer, "
        "this is {case.version}; upgrade it",
    ),
    Rule(
        "fp8-without-units",
        "build, GPU",
        "warning",
        lambda case: case.family == "fp8" and (_lacks(case, "fp8") or case.machine.is_cpu),
        "{case.device} has no FP8 arithmetic: the weights are widened as they are used, which "
        "saves memory and no time; for speed take build int8 or w4a16 where the model has it",
    ),
    Rule(
        "nvfp4-before-blackwell",
        "build, GPU",
        "warning",
        lambda case: case.family == "fp4" and case.capability is not None and _lacks(case, "fp4"),
        "{case.device} has no FP4 arithmetic, which begins with Blackwell: the weights are widened "
        "as they are used, on a path that its makers don't support; take build w4a16",
    ),
    Rule(
        "nvfp4-elsewhere",
        "build, GPU",
        "error",
        lambda case: case.family == "fp4" and case.capability is None,
        "NVFP4 is NVIDIA's: on {case.device} vLLM has no kernel for it or only emulates it; take "
        "{case.other_builds}",
    ),
    Rule(
        "int8-on-blackwell",
        "build, GPU",
        "error",
        lambda case: (
            case.family == "int8" and case.capability is not None and case.capability >= BLACKWELL
        ),
        "vLLM's INT8 kernels end before {case.device} (compute capability 10.0); take build fp8",
    ),
    Rule(
        "int4-computes-wide",
        "build, max_num_seqs",
        "warning",
        lambda case: (
            case.family == "int4"
            and not case.machine.is_cpu
            and case.kwargs.get("max_num_seqs", 0) > 256
        ),
        "4-bit weights are widened to 16 bits as they are used: beyond some 256 sequences together "
        "({case.kwargs[max_num_seqs]} are allowed) arithmetic is the limit and FP8 or INT8 weights "
        "are faster; lower max_num_seqs or take another build",
    ),
    Rule(
        "bfloat16-on-turing",
        "dtype, GPU",
        "error",
        lambda case: (
            case.kwargs.get("dtype") == "bfloat16"
            and case.capability is not None
            and case.capability < AMPERE
        ),
        "{case.device} has no bfloat16 (compute capability below 8.0); set dtype=float16",
    ),
    Rule(
        "float16-range",
        "dtype, model",
        "warning",
        lambda case: case.kwargs.get("dtype") in {"float16", "half"},
        "{case.model.id} was trained in bfloat16, and float16 reaches only 65,504: a run of `!` "
        "or empty answers means an overflow; compare some answers before serving, or take a GPU "
        "with bfloat16",
    ),
    Rule(
        "group-cut",
        "build, tensor_parallel_size",
        "error",
        lambda case: case.cut is not None,
        "tensor_parallel_size {case.layout.tensor} makes slices of {case.cut} columns, which cut "
        "the {case.group}-wide groups that share a scale in build {case.build.id}; lower it to "
        "{case.largest_tensor}",
    ),
    Rule(
        "moe-backend",
        "moe_backend, build",
        "error",
        _wrong_experts,
        "moe_backend {case.kwargs[moe_backend]} has no experts in the format of build "
        "{case.build.id}; leave it out, and vLLM chooses",
    ),
    Rule(
        "no-prediction-layer",
        "speculative_config, build",
        "error",
        lambda case: case.layout.mtp and case.build.mtp == "absent" and case.sparse,
        "build {case.build.id} of {case.model.id} has no prediction layer for MTP; "
        "unset speculative_config or take build fp8",
    ),
    Rule(
        "kv-fp8-parity",
        "kv_cache_dtype",
        "warning",
        lambda case: str(case.kwargs.get("kv_cache_dtype", "")).startswith("fp8"),
        "an FP8 KV cache halves its memory and changes answers, most in long reasoning: compare "
        "right answers with and without it on your own tasks before serving",
    ),
    Rule(
        "gated",
        "licence",
        "warning",
        lambda case: (case.build.licence or case.model.licence).gated,
        "the hub gives these weights only to an account that accepted their terms: accept them on "
        "the model's page and set HF_TOKEN",
    ),
    Rule(
        "base-terms",
        "licence",
        "warning",
        lambda case: (
            case.model.licence.base is not None and case.model.licence.base.terms is not None
        ),
        "beside {case.model.licence.id} the terms of {case.model.licence.base.model} hold, which "
        "ask for a notice and limit some uses: {case.model.licence.base.terms}",
    ),
)
