"""Autoscaling from a profile's pace, the machine's GPUs and the KV cache."""

import pytest

from serving.app import llm_options, parse
from serving.catalog import Catalog
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.elastic import autoscaling_of, requests_together
from serving.hardware import Machine


def engine(model: str, machine: str, profile: str = "default") -> EngineArguments:
    return engine_arguments(Catalog.load().resolve(model), Machine.load(machine), profile)


@pytest.mark.parametrize(
    ("model", "machine", "profile", "bounds"),
    [
        ("deepseek-r1:7b", "8xh100", "default", (1, 8)),
        ("deepseek-r1:7b", "8xh100", "latency", (1, 4)),
        ("deepseek-r1:70b", "8xh100", "default", (1, 2)),
        ("deepseek-r1:70b", "8xh200", "default", (1, 4)),
        ("deepseek-r1:7b", "8xh100", "on-demand", (0, 8)),
        ("deepseek-r1:1.5b", "1xl4", "default", (1, 1)),
    ],
)
def test_as_many_replicas_as_the_machine_holds(
    model: str, machine: str, profile: str, bounds: tuple[int, int]
) -> None:
    found = autoscaling_of(engine(model, machine, profile))
    assert found is not None
    assert (found.min_replicas, found.max_replicas) == bounds


def test_fewer_gpus_hold_fewer_replicas_and_one_at_least() -> None:
    found = autoscaling_of(engine("deepseek-r1:70b", "8xh200"), gpus=5)
    assert found is not None
    assert found.max_replicas == 2
    alone = autoscaling_of(engine("deepseek-r1:70b", "8xh200"), gpus=1)
    assert alone is not None
    assert alone.max_replicas == 1


def test_the_target_is_below_what_scheduler_and_cache_hold() -> None:
    roomy = engine("deepseek-r1:7b", "8xh200")
    tight = engine("deepseek-r1:8b", "1xl4")
    assert requests_together(roomy) == roomy.kwargs["max_num_seqs"] == 256
    assert 1 <= requests_together(tight) < 8
    for each in (roomy, tight):
        scaling = autoscaling_of(each)
        assert scaling is not None
        assert scaling.target_ongoing_requests is not None
        assert 1 <= scaling.target_ongoing_requests <= max(1, requests_together(each))


@pytest.mark.parametrize(("model", "machine"), [("deepseek-r1", "8xh200"), ("r1-nano", "cpu")])
def test_the_largest_and_the_smallest_models_stay_as_they_are(model: str, machine: str) -> None:
    assert autoscaling_of(engine(model, machine)) is None


def test_a_deployment_that_says_nothing_gets_the_profiles_pace() -> None:
    said = {"model": "deepseek-r1:7b", "hardware": "8xh100"}
    arguments = parse(said)
    found = llm_options(arguments, engine("deepseek-r1:7b", "8xh100"), {})["deployment_config"]
    assert found["autoscaling_config"]["max_replicas"] == 8
    assert "num_replicas" not in found
    fixed = parse({**said, "replicas": 3})
    found = llm_options(fixed, engine("deepseek-r1:7b", "8xh100"), {})["deployment_config"]
    assert found["num_replicas"] == 3
    assert "autoscaling_config" not in found
