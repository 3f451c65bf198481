"""Engine arguments: what is derived for which model, machine and profile, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from serving.catalog import Catalog
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.profiles import profiles_for
from serving.errors import DoesNotFit, UnknownArgument, UnknownProfile
from serving.hardware import Machine

CATALOG = Catalog.load()


def derive(
    model: str, machine: str = "cpu", profile: str = "default", **given: Any
) -> EngineArguments:
    return engine_arguments(CATALOG.resolve(model), Machine.load(machine), profile, **given)


def test_nano_on_cpu_is_small_and_exact() -> None:
    found = derive("r1-nano")
    kwargs = found.kwargs
    assert kwargs["dtype"] == "float32"
    assert kwargs["max_model_len"] == 4096
    assert kwargs["attention_backend"] == "CPU_MLA"
    assert kwargs["block_size"] == 16
    assert kwargs["enable_chunked_prefill"] is False
    assert kwargs["enable_prefix_caching"] is False
    assert kwargs["max_num_batched_tokens"] >= kwargs["max_model_len"]
    assert kwargs["kv_cache_memory_bytes"] < 320 * 1024**2
    assert kwargs["reasoning_parser"] == "deepseek_r1"
    assert kwargs["override_generation_config"] == {"temperature": 0.6, "top_p": 0.95}
    assert "enable_auto_tool_choice" not in kwargs


def test_the_nano_student_keeps_prefix_caching() -> None:
    kwargs = derive("r1-distill-nano").kwargs
    assert kwargs["enable_prefix_caching"] is True
    assert kwargs["block_size"] % 32 == 0
    assert "attention_backend" not in kwargs


def test_model_and_name_are_left_to_ray() -> None:
    found = derive("r1-nano")
    assert not {"model", "served_model_name", "distributed_executor_backend"} & set(found.kwargs)
    assert found.argv[:4] == ["--model", found.source, "--served-model-name", "r1-nano"]


def test_nano_engines_float_with_one_thread() -> None:
    env = derive("r1-nano").env
    assert env["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert env["OMP_NUM_THREADS"] == "1"
    assert env["HF_HUB_OFFLINE"] == "1"


def test_who_wants_nothing_compiled_waits_for_no_compiler() -> None:
    assert derive("r1-nano").env["TORCHDYNAMO_DISABLE"] == "1"
    compiled = derive("r1-nano", overrides={"enforce_eager": False})
    assert "TORCHDYNAMO_DISABLE" not in compiled.env


@pytest.mark.parametrize(
    ("cpus", "bind"),
    [(None, "0|1"), ([0, 1], "0|1"), ([7, 4, 5, 6], "4,5|6,7"), ([2, 3, 9], "2|3")],
)
def test_two_ranks_are_bound_to_their_processors(cpus: list[int] | None, bind: str) -> None:
    found = derive("r1-nano", profile="tp2-ep", cpus=cpus)
    assert found.kwargs["tensor_parallel_size"] == 2
    assert found.kwargs["enable_expert_parallel"] is True
    assert found.env["VLLM_CPU_OMP_THREADS_BIND"] == bind
    assert "OMP_NUM_THREADS" not in found.env


def test_two_ranks_need_two_processors() -> None:
    with pytest.raises(DoesNotFit, match="only 1 may be used"):
        derive("r1-nano", profile="tp2-ep", cpus=[3])


def test_an_override_of_the_ranks_binds_them_too() -> None:
    found = derive("r1-distill-nano", overrides={"tensor_parallel_size": 2})
    assert found.env["VLLM_CPU_OMP_THREADS_BIND"] == "0|1"


def test_slices_of_experts_keep_whole_fp8_blocks() -> None:
    sliced = {
        "pipeline_parallel_size": 1,
        "data_parallel_size": 1,
        "enable_expert_parallel": False,
        "enable_eplb": False,
    }
    found = derive("deepseek-r1", "2x8xh100", overrides={**sliced, "tensor_parallel_size": 16})
    assert found.kwargs["tensor_parallel_size"] == 16
    huge = Machine.load("2x8xh100").model_copy(update={"nodes": 4})
    with pytest.raises(DoesNotFit, match=r"cut the 128-wide groups .* lower it to 16"):
        engine_arguments(
            CATALOG.resolve("deepseek-r1"),
            huge,
            overrides={**sliced, "tensor_parallel_size": 32},
        )


def test_a_real_model_on_cpu_leaves_the_threads_to_vllm() -> None:
    found = derive("deepseek-r1:1.5b")
    assert "VLLM_CPU_OMP_THREADS_BIND" not in found.env
    assert "HF_HUB_OFFLINE" not in found.env
    assert found.kwargs["dtype"] == "bfloat16"


def test_a_gpu_without_bfloat16_computes_in_float16() -> None:
    assert derive("deepseek-r1:1.5b", "1xt4").kwargs["dtype"] == "float16"


def test_memory_that_is_the_systems_too_is_not_taken_whole() -> None:
    assert derive("deepseek-r1:7b", "jetson-orin").kwargs["gpu_memory_utilization"] == 0.85


def test_amd_takes_its_own_kernels_for_experts() -> None:
    assert derive("deepseek-r1", "8xmi300x").env["VLLM_ROCM_USE_AITER"] == "1"
    assert "VLLM_ROCM_USE_AITER" not in derive("deepseek-r1:7b", "8xmi300x").env
    assert "VLLM_ROCM_USE_AITER" not in derive("deepseek-r1", "8xh200").env


def test_r1_for_latency() -> None:
    kwargs = derive("deepseek-r1", "8xh200", "latency").kwargs
    assert kwargs["tensor_parallel_size"] == 8
    assert kwargs["enable_expert_parallel"] is True
    assert kwargs["speculative_config"] == {"method": "mtp", "num_speculative_tokens": 1}
    assert "data_parallel_size" not in kwargs
    assert kwargs["max_model_len"] == 131072
    assert kwargs["tool_call_parser"] == "deepseek_v3"
    assert Path(kwargs["chat_template"]).is_file()


def test_r1_for_throughput() -> None:
    kwargs = derive("deepseek-r1", "8xh200", "throughput").kwargs
    assert (kwargs["tensor_parallel_size"], kwargs["data_parallel_size"]) == (1, 8)
    assert kwargs["enable_expert_parallel"] is True
    assert "speculative_config" not in kwargs


def test_r1_over_two_nodes() -> None:
    kwargs = derive("deepseek-r1", "2x8xh100").kwargs
    assert (kwargs["tensor_parallel_size"], kwargs["pipeline_parallel_size"]) == (8, 2)


@pytest.mark.parametrize(
    ("model", "machine", "tensor", "context"),
    [
        ("deepseek-r1:1.5b", "1xl4", 1, 40960),
        ("deepseek-r1:7b", "1xl4", 1, 40960),
        ("deepseek-r1:8b", "1xl4", 1, 22528),
        ("deepseek-r1:14b", "1xa100-40", 1, 28672),
        ("deepseek-r1:14b", "8xh100", 1, 40960),
        ("deepseek-r1:32b", "8xh100", 2, 40960),
        ("deepseek-r1:32b", "8xh200", 1, 40960),
        ("deepseek-r1:70b", "8xh100", 4, 40960),
        ("deepseek-r1:70b", "8xh200", 2, 40960),
    ],
)
def test_distills_take_the_fewest_gpus(model: str, machine: str, tensor: int, context: int) -> None:
    kwargs = derive(model, machine).kwargs
    assert (kwargs["tensor_parallel_size"], kwargs["max_model_len"]) == (tensor, context)


@pytest.mark.parametrize(
    ("model", "machine", "profile", "sentence"),
    [
        ("deepseek-r1", "1xl4", "default", "its weights need a node of 8 GPUs"),
        ("deepseek-r1", "cpu", "default", "its weights need a node of 8 GPUs"),
        ("r1-nano", "8xh200", "default", "made for the machine `cpu`"),
        ("deepseek-r1:7b", "2x8xh100", "default", "runs on a single node"),
        ("deepseek-r1", "8xh200", "latncy", "did you mean latency?"),
        ("r1-distill-nano", "cpu", "tp2-ep", "known are default"),
    ],
)
def test_no_such_profile(model: str, machine: str, profile: str, sentence: str) -> None:
    with pytest.raises(UnknownProfile) as caught:
        derive(model, machine, profile)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("model", "machine", "overrides", "sentence"),
    [
        ("deepseek-r1", "8xh100", {}, "86.1 GB of weights a rank leave nothing"),
        (
            "deepseek-r1",
            "8xh200",
            {"enable_eplb": True, "enable_expert_parallel": True},
            "does not balance experts in w4a16_gptq",
        ),
        (
            "deepseek-r1",
            "8xh200",
            {"speculative_config": {"method": "mtp", "num_speculative_tokens": 1}},
            "has no prediction layer",
        ),
        ("deepseek-r1:32b", "1xl4", {}, "65.5 GB of weights"),
        ("deepseek-r1:7b", "cpu", {}, "does not fit cpu"),
        ("deepseek-r1", "8xh200", {"max_model_len": 524288}, "knows 163,840 positions"),
        ("deepseek-r1:8b", "1xl4", {"max_model_len": 65536}, "lower max_model_len to 2"),
        ("deepseek-r1:7b", "8xh100", {"tensor_parallel_size": 8}, "28 attention heads"),
        ("deepseek-r1:7b", "1xl4", {"tensor_parallel_size": 2}, "needs 2 GPUs, but 1xl4 has 1"),
        ("deepseek-r1:7b", "1xl4", {"enable_expert_parallel": True}, "has no experts"),
        ("deepseek-r1:7b", "1xl4", {"tensor_parallel_size": 0}, "give a whole number of 1 or more"),
        ("deepseek-r1:1.5b", "8xh200", {"pipeline_parallel_size": 29}, "needs 29 GPUs"),
        (
            "r1-nano",
            "cpu",
            {"speculative_config": {"method": "mtp", "num_speculative_tokens": 1}},
            "has no prediction layer",
        ),
        ("r1-nano", "cpu", {"enable_prefix_caching": True}, "neither chunked prefill"),
        ("r1-nano", "cpu", {"max_num_batched_tokens": 1024}, "must reach max_model_len"),
        ("r1-nano", "cpu", {"kv_cache_memory_bytes": 1024}, "raise it to 37,748,736"),
        ("r1-nano", "cpu", {"kv_cache_memory_bytes": 10**12}, "more than the"),
        ("r1-nano", "cpu", {"max_model_len": "4k"}, "max_model_len is '4k'; give"),
        ("r1-nano", "cpu", {"kv_cache_memory_bytes": None}, "give a whole number"),
        ("r1-nano", "cpu", {"data_parallel_size": 3}, "can't be spread evenly over 6"),
    ],
)
def test_contradictions_are_refused(
    model: str, machine: str, overrides: dict[str, Any], sentence: str
) -> None:
    profile = "tp2-ep" if "data_parallel_size" in overrides else "default"
    if model == "deepseek-r1":
        profile = {"8xh100": "latency", "8xh200": "compact"}[machine]
    with pytest.raises(DoesNotFit) as caught:
        derive(model, machine, profile, overrides=overrides)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("tensor_paralel_size", 2, "did you mean tensor_parallel_size"),
        ("use_v2_block_manager", True, "vLLM 0.29.0 has no argument"),
        ("model", "x", "give the weights instead"),
        ("served_model_name", ["x"], "the catalog's id is the name"),
        ("enforce_eager", "yes", "is a switch"),
        ("max_num_seqs", True, "takes a value"),
        ("cudagraph_capture_sizes", 8, "takes a list"),
    ],
)
def test_a_wrong_override_is_named(name: str, value: object, sentence: str) -> None:
    with pytest.raises(UnknownArgument) as caught:
        derive("r1-nano", overrides={name: value})
    assert sentence in str(caught.value)


def test_overrides_win_and_what_follows_from_them_follows() -> None:
    plain = derive("r1-nano").kwargs
    kwargs = derive("r1-nano", overrides={"max_model_len": 2048, "max_num_seqs": 8}).kwargs
    assert (kwargs["max_model_len"], kwargs["max_num_seqs"]) == (2048, 8)
    assert kwargs["max_num_batched_tokens"] == 2048
    assert kwargs["kv_cache_memory_bytes"] < plain["kv_cache_memory_bytes"]


def test_an_override_of_none_takes_an_argument_out() -> None:
    found = derive("deepseek-r1", "8xh200", "latency", overrides={"speculative_config": None})
    assert "speculative_config" not in found.kwargs
    assert "--speculative-config" not in found.argv


def test_quantised_weights_are_not_measured_with_the_catalogs_size() -> None:
    found = derive(
        "deepseek-r1",
        "8xh100",
        weights="someone/DeepSeek-R1-AWQ",
        overrides={"quantization": "awq_marlin", "speculative_config": None},
    )
    assert found.source == "someone/DeepSeek-R1-AWQ"


@pytest.mark.parametrize(
    ("weights", "offline"),
    [(Path("models/x"), True), ("/models/x", True), ("./x", True), ("someone/x", False)],
)
def test_a_folder_of_weights_needs_no_hub(weights: str | Path, offline: bool) -> None:
    found = derive("deepseek-r1:7b", "1xl4", weights=weights)
    assert found.source == str(weights)
    assert ("HF_HUB_OFFLINE" in found.env) is offline


def test_the_command_holds_everything() -> None:
    found = derive("r1-nano")
    assert found.command.startswith("VLLM_NO_USAGE_STATS=1 ")
    assert "--no-enable-prefix-caching" in found.command
    assert """'{"temperature":0.6,"top_p":0.95}'""" in found.command


def test_profiles_are_listed_with_the_usual_one_first() -> None:
    names = [p.name for p in profiles_for(CATALOG.resolve("deepseek-r1"), Machine.load("8xh200"))]
    assert names == ["latency", "throughput", "compact"]
    assert derive("deepseek-r1", "8xh200").profile.name == "latency"
