"""The chart refuses at render what the plan refuses, and its sentences say where and how."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r1.helm.values import memory_quantity
from serving import app
from serving.engine.profiles import profiles_for
from serving.preflight.demand import demand_of
from tests.chart.helm import Document, Helm
from tests.chart.refusals import MACHINES, MODELS, plan_refuses, refused

PROFILES = {
    (model.id, name): [each.name for each in profiles_for(model, machine)]
    for model in MODELS.values()
    for name, machine in MACHINES.items()
}
BIG = {"hardware": "8xh200", "profile": "latency"}
WIDE = {"hardware": "2x8xh100", "profile": "two-node"}
SMALL = {"hardware": "1xl40s"}

RANKS = st.sampled_from([1, 2, 3, 4, 6, 8, 16, 32])
TOKENS = st.sampled_from([1024, 4096, 8192, 40960, 65536, 131072, 163840, 400000])
SWITCHES = (
    "enable_expert_parallel", "enable_eplb", "enable_elastic_ep", "enable_dbo",
    "enable_chunked_prefill", "enable_prefix_caching",
)  # fmt: skip
CHOICES: dict[str, list[Any]] = {
    "speculative_config": [None, {}, {"method": "mtp", "num_speculative_tokens": 1}],
    "eplb_config": [None, {}, {"num_redundant_experts": 32}, {"num_redundant_experts": 8}],
    "gpu_memory_utilization": [0.3, 0.85, 0.95, 1.2, None],
    "kv_cache_dtype": ["auto", "fp8", "bfloat16", "float32", None],
    "dtype": ["auto", "float16", "bfloat16", "float32", None],
    "attention_backend": ["CPU_MLA", "FLASHMLA", None],
    "block_size": [16, 32, None],
    "moe_backend": ["auto", "marlin", "deep_gemm", "b12x", None],
    "all2all_backend": ["deepep_low_latency", "naive", None],
    "quantization": ["fp8", None],
    "max_num_seqs": [0, 1, 64, 2048, 1.5, None],
    "max_num_batched_tokens": [1024, 8192],
    "kv_cache_memory_bytes": [1_000_000, 2_000_000_000, 60_000_000_000],
    "no_such_argument": [1],
    "enforce_eager": [True, "yes"],
    "middleware": [["a"], "a"],
    "seed": [1, True],
    "served_model_name": ["mine"],
}
ENGINES = st.fixed_dictionaries(
    {},
    optional={
        "tensor_parallel_size": RANKS,
        "pipeline_parallel_size": RANKS,
        "data_parallel_size": RANKS,
        "prefill_context_parallel_size": RANKS,
        "decode_context_parallel_size": RANKS,
        "max_model_len": TOKENS,
        **{name: st.booleans() for name in SWITCHES},
        **{name: st.sampled_from(values) for name, values in CHOICES.items()},
    },
)
# Most combinations of many arguments are wrong in some way; those of few often are not.
FEW = ENGINES.map(lambda found: dict(list(found.items())[:3]))


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """An entry for each model, on hardware where it often runs."""
    found = {}
    for model in MODELS.values():
        builds = draw(st.sampled_from([None, *(each.id for each in model.builds), "q9"]))
        likely = [each for each in MACHINES if PROFILES[model.id, each]]
        hardware = draw(st.sampled_from([*likely, *likely, *MACHINES, "9xh900"]))
        entry: dict[str, Any] = {"hardware": hardware}
        if builds is not None and draw(st.booleans()):
            entry["build"] = builds
        if draw(st.booleans()):
            names = ["default", *PROFILES.get((model.id, hardware), [])]
            entry["profile"] = draw(st.sampled_from([*names, *names, "fastest"]))
        engine = draw(st.one_of(st.just({}), FEW, FEW, ENGINES))
        if engine:
            entry["engine"] = engine
        scaling = draw(st.integers(0, 4))
        if scaling == 1:
            entry["replicas"] = draw(st.integers(1, 4))
        elif scaling == 2:
            low, high = draw(st.integers(0, 4)), draw(st.integers(1, 4))
            entry["autoscaling"] = {"min": low, "max": high}
        found[model.id] = entry
    return found


def agree(helm: Helm, models: dict[str, Any]) -> None:
    chart = refused(helm, models)
    plan = {name: why for name, entry in models.items() if (why := plan_refuses(name, entry))}
    for name in models:
        assert (name in chart) == (name in plan), (
            f"{name} {models[name]}: the chart says {chart.get(name)}, the plan {plan.get(name)}"
        )


# Each: the model's id, its entry, the value that must be named, and words of the sentence.
WRONG: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "unknown model": ("deepseek-r2", BIG, "", "write one of deepseek-r1,"),
    "an alias": ("deepseek-reasoner", BIG, "", "write its id, deepseek-r1"),
    "unknown hardware": ("deepseek-r1", {"hardware": "9xh900"}, "hardware", "8xh200"),
    "unknown profile": ("deepseek-r1", BIG | {"profile": "fast"}, "profile", "latency, throughput"),
    "unknown build": ("deepseek-r1", BIG | {"build": "q9"}, "build", "w4a16"),
    "hardware that can't": ("deepseek-r1", {"hardware": "1xl4"}, "hardware", "8xh200"),
    "nano on a GPU": ("r1-nano", {"hardware": "8xh200"}, "hardware", "take one of cpu"),
    "heads": (
        "deepseek-r1", BIG | {"engine": {"tensor_parallel_size": 3}},
        "engine.tensor_parallel_size", "3 does not divide the 128 attention heads",
    ),
    "more GPUs than there are": (
        "deepseek-r1", BIG | {"engine": {"tensor_parallel_size": 16}},
        "engine.tensor_parallel_size", "takes 16 GPUs, and 8xh200 has 8",
    ),
    "MTP over stages": (
        "deepseek-r1", WIDE | {"engine": {"speculative_config": {"method": "mtp"}}},
        "engine.speculative_config", "pipeline stages; set it to {}",
    ),
    "experts of a dense model": (
        "deepseek-r1-distill-qwen-7b", SMALL | {"engine": {"enable_expert_parallel": True}},
        "engine.enable_expert_parallel", "has no experts; leave it out",
    ),
    "too little memory": (
        "deepseek-r1", {"hardware": "8xh100", "profile": "latency"},
        "hardware", "GB of weights a rank leave nothing of",
    ),
    "too long a context": (
        "deepseek-r1-distill-qwen-7b",
        {"hardware": "1xl4", "engine": {"max_model_len": 131072}},
        "engine.max_model_len", "lower it to",
    ),
    "positions": (
        "deepseek-r1", BIG | {"engine": {"max_model_len": 200000}},
        "engine.max_model_len", "knows 163840 positions",
    ),
    "an 8-bit cache": (
        "deepseek-r1", BIG | {"engine": {"kv_cache_dtype": "fp8"}},
        "engine.kv_cache_dtype", "changes answers",
    ),
    "unknown argument": (
        "deepseek-r1", BIG | {"engine": {"tensor_size": 8}},
        "engine.tensor_size", "vLLM has no such argument",
    ),
    "no whole number": (
        "deepseek-r1", BIG | {"engine": {"max_num_seqs": 1.5}},
        "engine.max_num_seqs", "whole number",
    ),
    "a share above 1": (
        "deepseek-r1", BIG | {"engine": {"gpu_memory_utilization": 92}},
        "engine.gpu_memory_utilization", "up to 1",
    ),
    "GGUF": ("deepseek-r1", BIG | {"build": "q4_k_m"}, "build", "upstream of the gateway"),
    "bounds in the wrong order": (
        "deepseek-r1", BIG | {"autoscaling": {"min": 3, "max": 2}},
        "autoscaling.min", "lower it or raise that",
    ),
    "both": (
        "deepseek-r1", BIG | {"replicas": 1, "autoscaling": {"max": 2}},
        "replicas", "leave one of them out",
    ),
    "replicas beyond": ("deepseek-r1", BIG | {"replicas": 65}, "replicas", "lower it to 64"),
    "a group's nodes": (
        "deepseek-r1", WIDE | {"nodesPerReplica": 1}, "nodesPerReplica", "has 2 pods",
    ),
    "GPUs of a pod": ("deepseek-r1", BIG | {"pod": {"gpus": 4}}, "pod.gpus", "write 8"),
    "another vendor's GPUs": (
        "deepseek-r1", BIG | {"pod": {"gpuResource": "amd.com/gpu"}},
        "pod.gpuResource", "are nvidia.com/gpu",
    ),
    "a slice of a GPU": (
        "deepseek-r1", BIG | {"pod": {"gpuResource": "nvidia.com/mig-3g.71gb"}},
        "pod.gpuResource", "a slice of a GPU",
    ),
    "little host memory": (
        "deepseek-r1", BIG | {"pod": {"memory": "16Gi"}}, "pod.memory", "needs 58Gi",
    ),
    "no memory": ("deepseek-r1", BIG | {"pod": {"memory": "much"}}, "pod.memory", "such as 58Gi"),
    "little shared memory": (
        "deepseek-r1", BIG | {"pod": {"shm": "64Mi"}}, "pod.shm", "needs 2Gi",
    ),
    "another product": (
        "deepseek-r1",
        BIG | {"pod": {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H20"}}},
        "pod.nodeSelector.nvidia.com/gpu.product", "are H200",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_named_with_its_mend(helm: Helm, name: str) -> None:
    model, entry, value, words = WRONG[name]
    # The faults of all models are told at once.
    found = refused(helm, {model: entry, "deepseek-r1-zero": BIG | {"pod": {"gpus": 1}}})
    told = [sentence for name, sentence in found[model] if name == value]
    assert any(words in sentence for sentence in told), found[model]
    assert not any("{" in sentence.replace("{}", "") for sentence in told)
    assert [each for each, _ in found["deepseek-r1-zero"]] == ["pod.gpus"]


def test_a_model_that_is_off_is_not_looked_at(helm: Helm) -> None:
    off = {"deepseek-r1": {"enabled": False, "hardware": "9xh900"}}
    assert refused(helm, off | {"r1-distill-nano": {"hardware": "cpu"}}) == {}


ALONE = {
    "deepseek-r1": ("8xh200", "2x8xh100", "8xmi300x", "4xb200"),
    "deepseek-r1-distill-llama-70b": ("8xh100", "8xl40s"),
    "deepseek-r1-distill-qwen-1.5b": ("1xt4",),
}


@pytest.mark.parametrize(
    ("model", "hardware"), [(name, each) for name, many in ALONE.items() for each in many]
)
def test_a_model_that_only_says_its_hardware_gets_the_pods_of_the_plan(
    helm: Helm, model: str, hardware: str
) -> None:
    demand = demand_of(app.parse({"model": model, "hardware": hardware}))
    alone = {"r1-nano": {"enabled": False}, model: {"hardware": hardware}}
    documents = helm.render(models=alone)
    (workers,) = [d for d in documents if d["kind"] == "StatefulSet" and _serves(d, model)]
    spec = workers["spec"]["template"]["spec"]
    assert workers["spec"]["replicas"] == demand.pods
    limits = spec["containers"][0]["resources"]["limits"]
    gpu = demand.machine.gpu
    assert gpu is not None
    assert int(limits[gpu.resource]) == demand.gpus
    assert limits["memory"] == memory_quantity(demand.memory_bytes)
    assert limits["cpu"] == f"{1000 * demand.cpus:.0f}m"
    (shm,) = [each for each in spec["volumes"] if each["name"] == "shm"]
    assert shm["emptyDir"]["sizeLimit"] == memory_quantity(demand.shm_bytes)
    assert spec["nodeSelector"] == gpu.node_selector


def _serves(document: Document, model: str) -> bool:
    labels: dict[str, str] = document["spec"]["template"]["metadata"]["labels"]
    return labels.get("r1/model") == model


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(models=entries())
def test_the_chart_refuses_what_the_plan_refuses(helm: Helm, models: dict[str, Any]) -> None:
    agree(helm, models)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(models=entries())
def test_the_chart_refuses_what_the_plan_refuses_at_length(
    helm: Helm, models: dict[str, Any]
) -> None:
    agree(helm, models)
