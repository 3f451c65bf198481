import pytest
from pydantic import ValidationError

from serving.engine.autoscale import POLICY
from serving.engine.scaling import (
    Autoscaling,
    deployment_options,
    lifetime_environment,
    most_replicas,
)


def test_a_replica_gets_the_longest_answer_to_finish() -> None:
    options = deployment_options(
        replicas=2, autoscaling=None, longest_answer_s=5400, max_num_seqs=64
    )
    assert options["graceful_shutdown_timeout_s"] > 5400
    assert options["num_replicas"] == 2
    assert "autoscaling_config" not in options
    assert most_replicas(options) is None


def test_a_replicas_queue_is_bounded() -> None:
    options = deployment_options(replicas=1, autoscaling=None, longest_answer_s=60, max_num_seqs=64)
    assert 64 <= options["max_ongoing_requests"] <= 1000


def test_autoscaling_is_never_left_to_inert_defaults() -> None:
    scaling = Autoscaling(min_replicas=0, max_replicas=4, target_ongoing_requests=12)
    options = deployment_options(
        replicas=None, autoscaling=scaling, longest_answer_s=60, max_num_seqs=64
    )
    config = options["autoscaling_config"]
    assert config["target_ongoing_requests"] == 12
    assert (config["min_replicas"], config["max_replicas"]) == (0, 4)
    assert config["initial_replicas"] == 1
    assert "num_replicas" not in options
    assert most_replicas(options) == 4


def test_a_target_that_was_given_stays() -> None:
    assert Autoscaling(max_replicas=2).aiming_at(24.0).target_ongoing_requests == 24.0
    given = Autoscaling(max_replicas=2, target_ongoing_requests=7)
    assert given.aiming_at(24.0).target_ongoing_requests == 7


def test_the_policy_is_ours_and_hears_more_often_than_it_looks_back() -> None:
    scaling = Autoscaling(max_replicas=2, target_ongoing_requests=7)
    options = deployment_options(
        replicas=None, autoscaling=scaling, longest_answer_s=60, max_num_seqs=8
    )
    config = options["autoscaling_config"]
    assert config["policy"] == {"policy_function": POLICY}
    assert config["metrics_interval_s"] < config["look_back_period_s"]


def test_ray_serve_takes_the_options(recwarn: pytest.WarningsRecorder) -> None:
    from ray.serve.config import AutoscalingConfig

    scaling = Autoscaling(
        min_replicas=0, max_replicas=2, target_ongoing_requests=4, downscale_to_zero_delay_s=5
    )
    options = deployment_options(
        replicas=None, autoscaling=scaling, longest_answer_s=60, max_num_seqs=8
    )
    with pytest.warns(DeprecationWarning, match="metrics_interval_s"):
        config = AutoscalingConfig.model_validate(options["autoscaling_config"])
    assert config.policy.get_policy().__name__ == "head_room"


@pytest.mark.parametrize("longest", [60.0, 600.5, 5400.0])
def test_nothing_on_the_path_lives_shorter_than_the_longest_answer(longest: float) -> None:
    variables = lifetime_environment(longest)
    bounds = [float(value) for name, value in variables.items() if "_S" in name[-2:]]
    kept = [value for value in bounds if value > 10]
    assert len(kept) == 3
    assert all(value >= longest for value in kept)
    assert float(variables["RAY_SERVE_LLM_ROUTER_HTTP_TIMEOUT"]) >= longest


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="is above max_replicas"):
        Autoscaling(min_replicas=3, max_replicas=2, target_ongoing_requests=1)
