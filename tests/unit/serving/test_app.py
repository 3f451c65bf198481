from typing import Any

import pytest

from serving.app import InvalidArguments, derive, llm_options, parse
from serving.errors import ServingError

LOCAL = {"model": "r1-nano", "hardware": "cpu", "weights": "/w/r1-nano"}


def options(**changes: Any) -> dict[str, Any]:
    arguments = parse({**LOCAL, **changes})
    return llm_options(arguments, derive(arguments), {"VLLM_PORT": "20020"})


def test_an_alias_is_served_under_the_catalogs_id() -> None:
    assert options(model="R1:nano")["model_loading_config"]["model_id"] == "r1-nano"


def test_weights_win_over_the_catalogs() -> None:
    assert options()["model_loading_config"]["model_source"] == "/w/r1-nano"


def test_cpu_is_said_since_ray_would_assume_a_gpu() -> None:
    assert options()["accelerator_config"] == {"kind": "cpu"}


def test_gpus_are_asked_for_by_type() -> None:
    found = options(model="deepseek-r1", hardware="8xh200", weights=None)
    assert found["accelerator_config"] == {"kind": "gpu"}
    bundle = found["placement_group_config"]["bundle_per_worker"]
    assert bundle == {"GPU": 1, "accelerator_type:H200": 0.001}
    assert found["callback_config"]["callback_kwargs"]["source"] == "deepseek-ai/DeepSeek-R1"


@pytest.mark.parametrize("weights", ["/w/r1", "org/name@v1", "s3://models/r1"])
def test_weights_may_come_from_a_folder_the_hub_or_s3(weights: str) -> None:
    found = options(weights=weights)
    told = found["callback_config"]["callback_kwargs"]
    assert told["source"] == weights
    assert not told["gpu"]
    assert 1e6 < told["weight_bytes"] < 1e9
    assert "://" not in found["model_loading_config"]["model_source"]
    assert found["runtime_env"]["env_vars"]["HF_HUB_OFFLINE"] == "1"


def test_any_gpu_will_do_where_ray_runs_on_one_machine() -> None:
    found = options(model="deepseek-r1:7b", hardware="rtx4090", weights=None, any_gpu=True)
    assert found["accelerator_config"] == {"kind": "gpu"}
    assert "placement_group_config" not in found


def test_tokens_are_not_held_back_to_be_sent_together() -> None:
    assert options()["experimental_configs"]["stream_batching_interval_ms"] == 0


def test_without_a_target_it_follows_from_the_batch() -> None:
    found = options(autoscaling={"max_replicas": 3}, engine={"max_num_seqs": 16})
    config = found["deployment_config"]["autoscaling_config"]
    assert config["target_ongoing_requests"] == 12


def test_the_bound_on_a_step_and_the_surge_are_handed_on() -> None:
    found = options(stall_s=7, surge_percent=50)
    assert found["experimental_configs"]["stall_s"] == 7
    assert found["deployment_config"]["max_surge_percent"] == 50


@pytest.mark.parametrize(
    ("hardware", "model", "bundle"),
    [
        ("cpu", "r1-nano", {"CPU": 1, "model:m": 1}),
        ("8xh200", "deepseek-r1", {"GPU": 1, "accelerator_type:H200": 0.001, "model:m": 1}),
    ],
)
def test_each_rank_takes_its_share_of_the_models_own_nodes(
    hardware: str, model: str, bundle: dict[str, float]
) -> None:
    arguments = parse({"model": model, "hardware": hardware, "pool": "model:m"})
    found = llm_options(arguments, derive(arguments), {})
    assert found["placement_group_config"]["bundle_per_worker"] == bundle


def test_the_drain_follows_from_the_longest_answer() -> None:
    short = options(longest_answer_s=60)["deployment_config"]["graceful_shutdown_timeout_s"]
    long = options(longest_answer_s=5400)["deployment_config"]["graceful_shutdown_timeout_s"]
    assert long - short == 5340


def test_overrides_reach_the_engine() -> None:
    assert options(engine={"max_num_seqs": 7})["engine_kwargs"]["max_num_seqs"] == 7


def test_the_engines_environment_joins_the_applications() -> None:
    variables = options()["runtime_env"]["env_vars"]
    assert variables["VLLM_PORT"] == "20020"
    assert variables["VLLM_NO_USAGE_STATS"] == "1"


def test_no_key_stands_in_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "engine-secret")
    assert "engine-secret" not in str(options())


def test_one_replica_is_the_default() -> None:
    assert options()["deployment_config"]["num_replicas"] == 1


def test_autoscaling_takes_the_place_of_a_number() -> None:
    scaling = {"max_replicas": 3, "target_ongoing_requests": 8}
    found = options(autoscaling=scaling)["deployment_config"]
    assert found["autoscaling_config"]["max_replicas"] == 3
    assert "num_replicas" not in found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modell": "x"}, "modell"),
        ({"replicas": 0}, "replicas"),
        (
            {"replicas": 2, "autoscaling": {"max_replicas": 2, "target_ongoing_requests": 1}},
            "not both",
        ),
        ({"autoscaling": {"min_replicas": 2}}, "autoscaling.max_replicas"),
        ({"surge_percent": 101}, "surge_percent"),
        ({"stall_s": 0}, "stall_s"),
        ({"longest_answer_s": -1}, "longest_answer_s"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArguments, match=words):
        parse({**LOCAL, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "r1-nanoo"},
        {"hardware": "cpuu"},
        {"profile": "fast"},
        {"engine": {"max_num_sqs": 1}},
        {"weights": "r1"},
    ],
)
def test_what_does_not_exist_is_a_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(ServingError):
        derive(parse({**LOCAL, **changes}))
