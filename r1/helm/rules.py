"""What the chart refuses, as rows that its templates can evaluate.

The rules are those of `serving.engine.checks` and `serving.engine.rules`, whose conditions are
code; tests/chart/test_checks.py asks both about the same values. A row holds where all its
conditions do. A condition is a fact, a relation and a number, text or switch, or another fact with
`@` before it; `templates/_plan.tpl` says what the facts are.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Relation = Literal["is", "is not", "above", "below", "not divided by", "not in"]
Condition = tuple[str, Relation, Any]

TENSOR, PIPELINE = "engine.tensor_parallel_size", "engine.pipeline_parallel_size"
DATA, EXPERT = "engine.data_parallel_size", "engine.enable_expert_parallel"
EPLB, COPIES = "engine.enable_eplb", "engine.eplb_config"
DRAFTS, CONTEXT = "engine.speculative_config", "engine.max_model_len"
ELASTIC, CACHE = "engine.enable_elastic_ep", "engine.kv_cache_dtype"
BYTES = "engine.kv_cache_memory_bytes"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule."""

    value: str
    """The value of the model's entry that is at fault, and so is named."""
    when: tuple[Condition, ...]
    sentence: str
    """What contradicts what, and the mend; `{fact}` gives values."""


def as_rows() -> list[dict[str, Any]]:
    """All rules as plain values."""
    return [asdict(each) for each in (*SIZES, *LAYOUTS, *FORMATS, *PROCESSORS, *MEMORY)]


SIZES = (
    Row(
        TENSOR,
        (("cpu", "is", False), ("devices", "above", "@gpus")),
        "tensor {tensor} × pipeline {pipeline} × data {data} parallel takes {devices} GPUs, and "
        "{hardware} has {gpus}; lower one of them, or take larger hardware",
    ),
    Row(
        TENSOR,
        (("heads", "not divided by", "@tensor"),),
        "{tensor} does not divide the {heads} attention heads of {id}; take a divisor, such as "
        "1, 2, 4 or 8",
    ),
    Row(
        PIPELINE,
        (("pipeline", "above", "@layers"),),
        "{id} has {layers} layers, too few for {pipeline} stages; lower it",
    ),
    Row(
        TENSOR,
        (
            ("sparse", "is", False),
            ("tensor", "not divided by", "@keyHeads"),
            ("keyHeads", "not divided by", "@tensor"),
        ),
        "{id} has {keyHeads} key-value heads, which {tensor} neither divides nor is a multiple of; "
        "take another",
    ),
    Row(
        EXPERT,
        (("sparse", "is", False), ("expert", "is", True)),
        "{id} has no experts; leave it out",
    ),
    Row(
        TENSOR,
        (("sparse", "is", True), ("expert", "is", True), ("experts", "not divided by", "@ranks")),
        "the {experts} experts of {id} can't be spread evenly over {ranks} ranks (tensor × data "
        "parallel); take sizes whose product divides them",
    ),
    Row(
        CONTEXT,
        (("context", "above", "@positions"),),
        "{id} knows {positions} positions, and a context of {context} is asked for; lower it",
    ),
)

LAYOUTS = (
    Row(
        DRAFTS,
        (("mtp", "is", True), ("pipeline", "above", 1)),
        "the prediction layer of MTP can't be split into {pipeline} pipeline stages; set it to {} "
        "or engine.pipeline_parallel_size to 1",
    ),
    Row(
        DRAFTS,
        (("sparse", "is", True), ("mtp", "is", True), ("draftLayers", "is", 0)),
        "{id} has no prediction layer for MTP; set it to {}",
    ),
    Row(
        DRAFTS,
        (("sparse", "is", True), ("mtp", "is", True), ("buildDrafts", "is", False)),
        "build {build} has no prediction layer for MTP; set it to {} or take build fp8",
    ),
    Row(
        EPLB,
        (("enable_eplb", "is", True), ("expert", "is", False)),
        "it balances experts over ranks, and engine.enable_expert_parallel is off; set both or "
        "neither",
    ),
    Row(
        EPLB,
        (("enable_eplb", "is", True), ("ranks", "is", 1)),
        "it needs experts on several ranks, and there is one; raise engine.tensor_parallel_size "
        "or engine.data_parallel_size, or leave it out",
    ),
    Row(
        EPLB,
        (("enable_eplb", "is", True), ("cpu", "is", True)),
        "vLLM balances experts on GPUs only; leave it out",
    ),
    Row(
        EPLB,
        (("sparse", "is", True), ("enable_eplb", "is", True), ("balanced", "is", False)),
        "vLLM does not balance experts of build {build}; leave it out or take another build",
    ),
    Row(
        COPIES,
        (("copiesAsked", "above", 0), ("enable_eplb", "is not", True)),
        "it asks for redundant experts, and engine.enable_eplb is off; set that, or take the "
        "redundant experts out",
    ),
    Row(
        ELASTIC,
        (("enable_elastic_ep", "is", True), ("pipeline", "above", 1)),
        "elastic expert parallelism knows no pipeline stages, and engine.pipeline_parallel_size is "
        "{pipeline}; set that to 1",
    ),
    Row(
        ELASTIC,
        (("enable_elastic_ep", "is", True), ("enable_eplb", "is not", True)),
        "it moves experts by their balance; set engine.enable_eplb too",
    ),
    Row(
        "engine.prefill_context_parallel_size",
        (("prefill_context_parallel_size", "above", 1), ("data", "above", 1)),
        "vLLM splits prompts over ranks or has data-parallel ranks, not both; set this or "
        "engine.data_parallel_size to 1",
    ),
    Row(
        "engine.decode_context_parallel_size",
        (("tensor", "not divided by", "@decode_context_parallel_size"),),
        "its ranks come from engine.tensor_parallel_size {tensor}, which it does not divide; take "
        "a divisor",
    ),
    Row(
        "engine.enable_dbo",
        (
            ("enable_dbo", "is", True),
            (
                "all2all_backend",
                "not in",
                ["deepep_low_latency", "deepep_high_throughput", "nixl_ep"],
            ),
        ),
        "it overlaps half batches only with engine.all2all_backend deepep_low_latency, "
        "deepep_high_throughput or nixl_ep; set one of them or leave it out",
    ),
    Row(
        DATA,
        (("data", "above", 1), ("sparse", "is", False)),
        "{id} has no experts to share, and vLLM refuses data-parallel ranks of such a model; "
        "leave it out and run replicas instead",
    ),
)

FORMATS = (
    Row(
        "build",
        (("published", "is", True), ("vllm", "is", False)),
        "vLLM does not read build {build} of {id}; take one of {vllmBuilds}, or serve it "
        "elsewhere as an upstream of the gateway",
    ),
    Row(
        "build",
        (("published", "is", True), ("tooNew", "is", True)),
        "build {build} of {id} needs a newer vLLM than these images have; take another build",
    ),
    Row(
        "build",
        (("family", "is", "fp4"), ("capability", "is", 0)),
        "NVFP4 is NVIDIA's, and {hardware} has no kernels for build {build}; take one of "
        "{vllmBuilds}",
    ),
    Row(
        "build",
        (("family", "is", "int8"), ("capability", "above", 99)),
        "vLLM's INT8 kernels end before the GPUs of {hardware}; take build fp8",
    ),
    Row(
        "engine.dtype",
        (("dtype", "is", "bfloat16"), ("capability", "above", 0), ("capability", "below", 80)),
        "the GPUs of {hardware} have no bfloat16; set float16",
    ),
    Row(
        TENSOR,
        (("cut", "above", 0),),
        "{tensor} makes slices of {cut} columns, which cut the groups of {group} that share a "
        "scale in build {build}; lower it",
    ),
    Row(
        "engine.moe_backend",
        (
            ("sparse", "is", True),
            ("moeBackends", "is not", ""),
            ("moe_backend", "not in", "@moeBackends"),
        ),
        "it has no experts in the format of build {build}; leave it out, and vLLM chooses",
    ),
    Row(
        CACHE,
        (("cache8", "is", True), ("parity", "is", False)),
        "an 8-bit KV cache changes answers: compare them with those of 16 bits (`python -m "
        "serving.engine.kv_parity`) and name the report in kvParity, or leave it out",
    ),
)

PROCESSORS = (
    Row(
        "hardware",
        (("latentCpu", "is", True), ("latentShape", "is", False)),
        "vLLM's CPU kernel for latent attention is not made for the shape of {id}; take a GPU",
    ),
    Row(
        "engine.block_size",
        (
            ("latentCpu", "is", True),
            ("attention_backend", "is", "CPU_MLA"),
            ("block_size", "is not", 16),
        ),
        "latent attention on processors works in blocks of 16; leave it out",
    ),
    Row(
        "engine.attention_backend",
        (
            ("latentCpu", "is", True),
            ("attention_backend", "is not", "CPU_MLA"),
            ("dtype", "is", "float32"),
        ),
        "another than CPU_MLA computes in bfloat16 only; leave it out, or set engine.dtype",
    ),
    Row(
        CACHE,
        (
            ("latentCpu", "is", True),
            ("kv_cache_dtype", "is not", "auto"),
            ("kv_cache_dtype", "is not", "@dtype"),
        ),
        "latent attention on processors keeps its cache in the model's own type; leave it out",
    ),
    Row(
        "engine.enable_chunked_prefill",
        (("latentCpu", "is", True), ("enable_chunked_prefill", "is", True)),
        "latent attention on processors has no chunked prefill; leave it out",
    ),
    Row(
        "engine.enable_prefix_caching",
        (("latentCpu", "is", True), ("enable_prefix_caching", "is", True)),
        "latent attention on processors has no prefix caching; leave it out",
    ),
    Row(
        "engine.max_num_batched_tokens",
        (("latentCpu", "is", True), ("max_num_batched_tokens", "below", "@context")),
        "without chunked prefill it must reach the context of {context}; raise it or lower "
        "engine.max_model_len",
    ),
)

MEMORY = (
    Row(
        "hardware",
        (("counted", "is", True), ("budget", "below", 1)),
        "{id} does not fit: {weightsGb} GB of weights a rank leave nothing of {memoryGb} GB for "
        "the KV cache; take larger hardware, more ranks (engine.tensor_parallel_size), or another "
        "build of {vllmBuilds}",
    ),
    Row(
        CONTEXT,
        (("counted", "is", True), ("budget", "above", 0), ("needed", "above", "@budget")),
        "one request of {context} tokens needs {neededGb} GB of KV cache a rank, and "
        "{weightsGb} GB of weights leave {budgetGb} GB; lower it to {room} or raise "
        "engine.tensor_parallel_size",
    ),
    Row(
        BYTES,
        (("counted", "is", True), ("explicit", "above", 0), ("explicit", "below", "@needed")),
        "it holds less than one request of {context} tokens; raise it to {needed} or lower "
        "engine.max_model_len",
    ),
    Row(
        BYTES,
        (("counted", "is", True), ("budget", "above", 0), ("explicit", "above", "@budget")),
        "it is more than the {budget} bytes that the weights leave; lower it",
    ),
)
