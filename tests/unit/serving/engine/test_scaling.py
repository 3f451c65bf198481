import pytest
from pydantic import ValidationError

from serving.engine.scaling import Autoscaling, deployment_options


def test_a_replica_gets_the_longest_answer_to_finish() -> None:
    options = deployment_options(
        replicas=2, autoscaling=None, longest_answer_s=5400, max_num_seqs=64
    )
    assert options["graceful_shutdown_timeout_s"] > 5400
    assert options["num_replicas"] == 2
    assert "autoscaling_config" not in options


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


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="is above max_replicas"):
        Autoscaling(min_replicas=3, max_replicas=2, target_ongoing_requests=1)
