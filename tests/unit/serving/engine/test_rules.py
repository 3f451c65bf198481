"""Known bad combinations: each rule fires where it should and nowhere beside it."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from serving.catalog import Catalog, Model
from serving.catalog.builds import Licence
from serving.engine.args import engine_arguments
from serving.engine.profiles import profiles_for
from serving.engine.rules import RULES, Case, Finding, judge
from serving.engine.rules.place import GONE
from serving.errors import DoesNotFit
from serving.hardware import Machine

CATALOG = Catalog.load()
MTP: dict[str, Any] = {"speculative_config": {"method": "mtp", "num_speculative_tokens": 1}}
AITER = {"VLLM_ROCM_USE_AITER": "1", "VLLM_ROCM_USE_AITER_MOE": "true"}


@dataclass(frozen=True)
class Given:
    """A case in short."""

    model: str = "deepseek-r1"
    machine: str = "8xh200"
    build: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    source: str | None = None
    version: str = "0.29.0"
    gated: bool = False

    def findings(self) -> dict[str, Finding]:
        """What the rules find, by their ids."""
        model = CATALOG.resolve(self.model)
        model = model if self.build is None else model.using(self.build)
        if self.gated:
            licence = Licence(id="x", gated=True)
            model = model.model_copy(update={"licence": licence})
        machine = Machine.load(self.machine)
        source = self.source or str(model.weights.path or model.weights.hub)
        case = Case(model, machine, self.kwargs, source, self.environ, self.version)
        return {each.rule: each for each in judge(case, RULES)}


def given(model: str, machine: str, build: str | None = None, **kwargs: Any) -> Given:
    return Given(model, machine, build, kwargs)


def environment(**environ: str) -> Given:
    return Given(environ=environ)


DENSE, NANO = "deepseek-r1:14b", "r1-nano"

# Of each rule: a case that breaks it, words of its sentence, and one beside it that does not.
CASES: dict[str, tuple[Given, str, Given]] = {
    "gguf": (
        given(DENSE, "rtx3060", "q4_k_m"),
        "serve it with llama.cpp or Ollama",
        given(DENSE, "rtx3060", "awq"),
    ),
    "other-engine": (
        given("deepseek-r1", "2x8xa100-80", "int8"),
        "packed for sglang, vLLM does not read it; take build fp8 or bf16 or w4a16",
        given(DENSE, "8xa100-80", "int8"),
    ),
    "old-vllm": (
        Given(build="nvfp4", machine="8xb200", version="0.8.5"),
        "needs vLLM 0.9.0 or newer, this is 0.8.5",
        Given(build="nvfp4", machine="8xb200", version="0.9.0"),
    ),
    "fp8-without-units": (
        given("deepseek-r1", "2x8xa100-80"),
        "A100 80GB SXM has no FP8 arithmetic",
        given("deepseek-r1", "8xmi300x"),
    ),
    "nvfp4-before-blackwell": (
        given("deepseek-r1", "8xh200", "nvfp4"),
        "begins with Blackwell",
        given("deepseek-r1", "4xb200", "nvfp4"),
    ),
    "nvfp4-elsewhere": (
        given("deepseek-r1", "8xmi300x", "nvfp4"),
        "NVFP4 is NVIDIA's: on AMD Instinct MI300X",
        given("deepseek-r1", "8xh100", "nvfp4"),
    ),
    "int8-on-blackwell": (
        given(DENSE, "1xb200", "int8"),
        "INT8 kernels end before NVIDIA B200",
        given(DENSE, "1xh200", "int8"),
    ),
    "int4-computes-wide": (
        given(DENSE, "1xl40s", "w4a16", max_num_seqs=512),
        "(512 are allowed)",
        given(DENSE, "1xl40s", "w4a16", max_num_seqs=256),
    ),
    "bfloat16-on-turing": (
        given("deepseek-r1:1.5b", "1xt4", dtype="bfloat16"),
        "set dtype=float16",
        given("deepseek-r1:1.5b", "1xa10", dtype="bfloat16"),
    ),
    "float16-range": (
        given("deepseek-r1:1.5b", "1xt4", dtype="float16"),
        "reaches only 65,504",
        given("deepseek-r1:1.5b", "1xl4", dtype="bfloat16"),
    ),
    "group-cut": (
        given(DENSE, "8xh100", "w4a16", tensor_parallel_size=8),
        "slices of 1728 columns, which cut the 128-wide groups that share a scale in build w4a16; "
        "lower it to 4",
        given(DENSE, "8xh100", "w4a16", tensor_parallel_size=4),
    ),
    "moe-backend": (
        given("deepseek-r1", "8xh100", "w4a16", moe_backend="deep_gemm"),
        "moe_backend deep_gemm has no experts in the format of build w4a16",
        given("deepseek-r1", "8xh200", moe_backend="deep_gemm"),
    ),
    "no-prediction-layer": (
        given("deepseek-r1", "8xh100", "w4a16", **MTP),
        "build w4a16 of deepseek-r1 has no prediction layer",
        given("deepseek-r1", "8xb200", "nvfp4", **MTP),
    ),
    "kv-fp8-parity": (
        given(DENSE, "1xh100", kv_cache_dtype="fp8_e4m3"),
        "compare right answers with and without it",
        given(DENSE, "1xh100", kv_cache_dtype="auto"),
    ),
    "gated": (Given(gated=True), "set HF_TOKEN", Given()),
    "base-terms": (
        given("deepseek-r1:70b", "8xh100"),
        "https://www.llama.com/llama3_3/license",
        given("deepseek-r1:32b", "8xh100"),
    ),
    "mtp-pipeline": (
        given("deepseek-r1", "2x8xh100", pipeline_parallel_size=2, **MTP),
        "pipeline_parallel_size is 2",
        given("deepseek-r1", "2x8xh100", pipeline_parallel_size=2),
    ),
    "balance-without-experts": (
        given("deepseek-r1", "8xh200", enable_eplb=True, data_parallel_size=8),
        "enable_expert_parallel is off",
        given("deepseek-r1", "8xh200", enable_eplb=True, enable_expert_parallel=True),
    ),
    "balance-on-one-rank": (
        given("deepseek-r1", "8xh200", enable_eplb=True, enable_expert_parallel=True),
        "needs experts on several ranks",
        given("deepseek-r1", "8xh200", enable_eplb=True, data_parallel_size=8),
    ),
    "balance-on-cpu": (
        given(NANO, "cpu", enable_eplb=True, enable_expert_parallel=True),
        "on GPUs only",
        given("deepseek-r1", "8xh200", enable_eplb=True, enable_expert_parallel=True),
    ),
    "copies-without-balance": (
        given("deepseek-r1", "8xh200", eplb_config={"num_redundant_experts": 32}),
        "enable_eplb is off",
        given("deepseek-r1", "8xh200", eplb_config={"window_size": 100}),
    ),
    "elastic-pipeline": (
        given("deepseek-r1", "2x8xh100", enable_elastic_ep=True, pipeline_parallel_size=2),
        "set it to 1",
        given("deepseek-r1", "2x8xh100", enable_elastic_ep=True),
    ),
    "elastic-without-balance": (
        given("deepseek-r1", "8xh200", enable_elastic_ep=True),
        "set enable_eplb too",
        given("deepseek-r1", "8xh200", enable_elastic_ep=True, enable_eplb=True),
    ),
    "prefill-context-data": (
        given("deepseek-r1", "8xh200", prefill_context_parallel_size=2, data_parallel_size=4),
        "not both",
        given("deepseek-r1", "8xh200", prefill_context_parallel_size=2),
    ),
    "context-ranks": (
        given("deepseek-r1", "8xh200", decode_context_parallel_size=3, tensor_parallel_size=8),
        "does not divide",
        given("deepseek-r1", "8xh200", decode_context_parallel_size=4, tensor_parallel_size=8),
    ),
    "overlap-backend": (
        given("deepseek-r1", "8xh200", enable_dbo=True),
        "deepep_low_latency",
        given("deepseek-r1", "8xh200", enable_dbo=True, all2all_backend="deepep_low_latency"),
    ),
    "all2all-gone": (
        given("deepseek-r1", "8xh200", all2all_backend="pplx"),
        "all2all_backend pplx is gone",
        given("deepseek-r1", "8xh200", all2all_backend="deepep_high_throughput"),
    ),
    "dense-data-parallel": (
        given(DENSE, "8xh100", data_parallel_size=2),
        "run replicas instead",
        given("deepseek-r1", "8xh200", data_parallel_size=2),
    ),
    "tensor-slow-link": (
        given(DENSE, "4xa10", tensor_parallel_size=4),
        "over 32.0 GB/s",
        given(DENSE, "8xa100-80", tensor_parallel_size=4),
    ),
    "tensor-across-nodes": (
        given("deepseek-r1", "2x8xh100", tensor_parallel_size=16),
        "more than the 8 GPUs of a node",
        given("deepseek-r1", "8xgb200", tensor_parallel_size=8),
    ),
    "latent-cpu-shape": (Given(), "", Given()),
    "latent-cpu-block": (
        given(NANO, "cpu", attention_backend="CPU_MLA", block_size=32),
        "set block_size=16",
        given("r1-distill-nano", "cpu", block_size=32),
    ),
    "latent-cpu-float32": (
        given(NANO, "cpu", dtype="float32"),
        "set it, or dtype=bfloat16",
        given(NANO, "cpu", dtype="float32", attention_backend="CPU_MLA"),
    ),
    "latent-cpu-cache": (
        given(NANO, "cpu", kv_cache_dtype="fp8"),
        "leave kv_cache_dtype out",
        given("deepseek-r1:1.5b", "cpu", kv_cache_dtype="fp8"),
    ),
    "unified-memory": (
        given("deepseek-r1:8b", "jetson-orin", gpu_memory_utilization=0.92),
        "set 0.85 or less",
        given("deepseek-r1:8b", "jetson-orin", gpu_memory_utilization=0.85),
    ),
    "little-arithmetic": (
        given("deepseek-r1", "8xh20-141"),
        "long prompts take several times longer",
        given("deepseek-r1", "8xh800"),
    ),
    "amd-without-aiter": (
        given("deepseek-r1", "8xmi300x"),
        "VLLM_ROCM_USE_AITER_MOE=1",
        Given(machine="8xmi300x", environ=AITER),
    ),
    "routing-simulated": (
        environment(VLLM_MOE_ROUTING_SIMULATION_STRATEGY="uniform_random"),
        "answers are nonsense",
        environment(VLLM_MOE_ROUTING_SIMULATION_STRATEGY=""),
    ),
    "latent-attention-off": (
        environment(VLLM_MLA_DISABLE="1"),
        "some 70 times the cache",
        Given(model=DENSE, environ={"VLLM_MLA_DISABLE": "1"}),
    ),
    "sleep-without-development": (
        given(DENSE, "1xh100", enable_sleep_mode=True),
        "VLLM_SERVER_DEV_MODE=1",
        Given(kwargs={"enable_sleep_mode": True}, environ={"VLLM_SERVER_DEV_MODE": "1"}),
    ),
}
for name, instead in GONE.items():
    rule = f"gone-{name.removeprefix('VLLM_').lower().replace('_', '-')}"
    CASES[rule] = (environment(**{name: "x"}), f"give the argument {instead}", Given())

WITHOUT_SHAPE = sorted(set(CASES) - {"latent-cpu-shape"})


def test_every_rule_is_tried() -> None:
    names = [rule.id for rule in RULES]
    assert len(names) == len(set(names))
    assert set(names) == set(CASES)


@pytest.mark.parametrize("rule", WITHOUT_SHAPE)
def test_it_fires(rule: str) -> None:
    broken, words, _ = CASES[rule]
    findings = broken.findings()
    assert rule in findings
    assert words in findings[rule].sentence


@pytest.mark.parametrize("rule", WITHOUT_SHAPE)
def test_it_is_silent_beside_it(rule: str) -> None:
    assert rule not in CASES[rule][2].findings()


@pytest.mark.parametrize(("rank", "rope", "fires"), [(256, 64, True), (512, 64, False)])
def test_latent_attention_on_cpu_has_one_shape(rank: int, rope: int, fires: bool) -> None:
    model = CATALOG.resolve(NANO)
    shape = {"kv_lora_rank": rank, "qk_rope_head_dim": rope}
    architecture = model.architecture.model_copy(update=shape)
    changed = model.model_copy(update={"architecture": architecture})
    for machine in ("cpu", "1xh100"):
        case = Case(changed, Machine.load(machine), {}, "x", {}, "0.29.0")
        found = {each.rule: each.sentence for each in judge(case, RULES)}
        assert ("latent-cpu-shape" in found) == (fires and machine == "cpu")
        if "latent-cpu-shape" in found:
            assert f"has {rank} and {rope}" in found["latent-cpu-shape"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_says_what_to_do(rule: Any) -> None:
    # A mend follows the complaint, and a reader finds what the rule looks at.
    assert ";" in rule.sentence or ":" in rule.sentence
    assert rule.looks_at
    assert not rule.sentence.endswith(".")


def test_weights_in_another_format_are_not_judged_by_the_build() -> None:
    sliced = {"tensor_parallel_size": 8}
    assert "group-cut" in given(DENSE, "8xh100", "w4a16", **sliced).findings()
    assert not given(DENSE, "8xh100", "w4a16", **sliced, quantization="fp8").findings()


def test_weights_of_ones_own_are_judged_by_themselves() -> None:
    own = Given(DENSE, "1xl4", source="/weights/own.GGUF").findings()
    assert own["gguf"].severity == "error"
    packed = Given("deepseek-r1", "2x8xa100-80", "int8", source="/weights/r1-int8")
    assert not packed.findings()
    assert not Given(build="nvfp4", machine="8xb200", source="/w/r1", version="0.8.5").findings()


def test_errors_come_first() -> None:
    both = given("deepseek-r1", "8xb200", "w4a16", kv_cache_dtype="fp8", **MTP).findings()
    assert [each.severity for each in both.values()] == ["error", "warning"]


def test_errors_refuse_and_warnings_are_handed_on() -> None:
    model, machine = CATALOG.resolve(DENSE), Machine.load("8xh100")
    with pytest.raises(DoesNotFit, match="cut the 128-wide groups"):
        engine_arguments(model.using("awq"), machine, overrides={"tensor_parallel_size": 8})
    found = engine_arguments(model, machine, overrides={"kv_cache_dtype": "fp8"})
    assert [each.rule for each in found.warnings] == ["kv-fp8-parity"]
    gone = engine_arguments(model, machine, environ={"VLLM_ALL2ALL_BACKEND": "pplx"})
    assert [each.rule for each in gone.warnings] == ["gone-all2all-backend"]


@pytest.mark.parametrize("machine_id", Machine.ids())
def test_what_is_derived_breaks_no_rule_by_itself(machine_id: str) -> None:
    machine = Machine.load(machine_id)
    for model in CATALOG:
        for profile in profiles_for(model, machine):
            for each in findings(model, machine, profile.name):
                assert each in INHERENT, (model.id, profile.name)


# What a user of such a machine or model must know in any case.
INHERENT = {
    "base-terms",
    "float16-range",
    "fp8-without-units",
    "int4-computes-wide",
    "little-arithmetic",
    "tensor-slow-link",
}


def findings(model: Model, machine: Machine, profile: str) -> list[str]:
    """Rules that the derived arguments break, none where the sizes don't fit."""
    try:
        return [each.rule for each in engine_arguments(model, machine, profile).warnings]
    except DoesNotFit as error:
        sizes = ("does not fit", "lower max_model_len")
        return [] if any(words in str(error) for words in sizes) else [str(error)]
