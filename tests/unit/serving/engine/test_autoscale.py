"""The autoscaler's policy, as Ray Serve calls it."""

from types import SimpleNamespace
from typing import Any

import pytest

from serving.engine.autoscale import head_room


def context(told: dict[str, dict[str, float]], replicas: int = 2, queued: float = 0.0) -> Any:
    return SimpleNamespace(
        current_num_replicas=replicas,
        target_num_replicas=replicas,
        total_queued_requests=queued,
        aggregated_metrics=told,
        config=SimpleNamespace(get_target_ongoing_requests=lambda: 10.0),
    )


def test_what_replicas_work_on_counts() -> None:
    wanted, state = head_room(context({"in_flight": {"a": 12.0, "b": 18.0}}))
    assert (wanted, state) == (3.0, {})


def test_a_queue_at_the_gateways_counts_once() -> None:
    told = {"in_flight": {"a": 10.0, "b": 10.0}, "waiting": {"a": 20.0, "b": 20.0}}
    assert head_room(context(told))[0] == 4.0


def test_a_queue_inside_ray_serve_counts() -> None:
    assert head_room(context({"in_flight": {"a": 15.0}}, queued=5.0))[0] == 2.0


def test_a_rate_that_will_fill_replicas_counts_before_it_has() -> None:
    # 2 arrivals a second of 50 s each: 100 in flight a minute from now, 10 more by chance.
    told = {"in_flight": {"a": 4.0}, "offered": {"a": 60.0, "b": 40.0}}
    assert head_room(context(told))[0] == pytest.approx(11.0)


def test_who_came_lately_keeps_one() -> None:
    assert 0 < head_room(context({"in_flight": {"a": 0.0}, "arrivals": {"a": 3.0}}))[0] <= 1


def test_the_first_replica_is_left_to_ray_serve() -> None:
    assert head_room(context({}, replicas=0))[0] == 0


@pytest.mark.parametrize("told", [None, {}, {"running_requests": {"a": 1.0}}])
def test_without_reports_all_stays_as_it_is(told: Any) -> None:
    bare = context({})
    bare.aggregated_metrics = told
    assert head_room(bare)[0] == 2
