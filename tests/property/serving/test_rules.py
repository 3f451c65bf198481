"""Whatever is asked for, the rules answer in whole sentences."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serving.catalog import Catalog, Model
from serving.engine.rules import RULES, Case, judge
from serving.engine.rules.case import _cut
from serving.hardware import Machine

MODELS = [model.using(build.id) for model in Catalog.load() for build in model.builds]
# Of each sort of device, and of links between them.
MACHINES = [
    Machine.load(each)
    for each in ("cpu", "jetson-orin", "1xt4", "4xa10", "2x8xh100", "4xb200", "8xmi300x")
]
SIZES = st.sampled_from([1, 2, 3, 4, 8, 16, 32])
SWITCHES = ("enable_eplb", "enable_expert_parallel", "enable_elastic_ep", "enable_dbo")
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "tensor_parallel_size": SIZES,
        "pipeline_parallel_size": SIZES,
        "data_parallel_size": SIZES,
        "prefill_context_parallel_size": SIZES,
        "decode_context_parallel_size": SIZES,
        "max_num_seqs": st.integers(1, 2048),
        "block_size": st.sampled_from([16, 32, 64]),
        "dtype": st.sampled_from(["auto", "float16", "bfloat16", "float32"]),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8", "bfloat16"]),
        "attention_backend": st.sampled_from(["CPU_MLA", "FLASHMLA"]),
        "moe_backend": st.sampled_from(["auto", "marlin", "deep_gemm", "b12x"]),
        "all2all_backend": st.sampled_from(["pplx", "naive", "deepep_low_latency"]),
        "gpu_memory_utilization": st.floats(0.1, 1.0),
        "quantization": st.sampled_from([None, "fp8"]),
        "speculative_config": st.sampled_from([None, {"method": "mtp"}, {"method": "ngram"}]),
        "eplb_config": st.sampled_from([None, {}, {"num_redundant_experts": 32}]),
        "enable_sleep_mode": st.booleans(),
        **{name: st.booleans() for name in SWITCHES},
    },
)
ENVIRON = st.dictionaries(
    st.sampled_from(["VLLM_MLA_DISABLE", "VLLM_ALL2ALL_BACKEND", "VLLM_ROCM_USE_AITER"]),
    st.sampled_from(["", "0", "1", "pplx"]),
)


@given(st.sampled_from(MODELS), st.sampled_from(MACHINES), ARGUMENTS, ENVIRON)
def test_every_case_is_judged(
    model: Model, machine: Machine, kwargs: dict[str, Any], environ: dict[str, str]
) -> None:
    case = Case(model, machine, kwargs, "a/b", environ, "0.29.0")
    found = judge(case, RULES)
    severities = [each.severity for each in found]
    assert severities == sorted(severities)
    for each in found:
        assert "{" not in each.sentence.replace("{'", "")
        assert "None" not in each.sentence
    assert found == judge(case, RULES)


@given(st.sampled_from(MODELS), SIZES)
def test_a_mended_slice_cuts_no_group(model: Model, tensor: int) -> None:
    kwargs = {"tensor_parallel_size": tensor}
    case = Case(model, MACHINES[0], kwargs, "a/b", {}, "0.29.0")
    assert 1 <= case.largest_tensor <= tensor
    assert _cut(case, case.largest_tensor) is None
    mended = Case(model, MACHINES[0], {"tensor_parallel_size": case.largest_tensor}, "", {}, "0")
    assert mended.cut is None
