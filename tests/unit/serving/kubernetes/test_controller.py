"""The controller's rounds, in front of a Ray and a Kubernetes that are tables."""

from typing import Any

import pytest
from prometheus_client import generate_latest

from serving.kubernetes.controller import AGAIN_S, CALM_S, Controller
from serving.kubernetes.goal import Goal
from serving.kubernetes.metrics import Metrics
from tests.unit.serving.kubernetes.answers import (
    GOAL,
    LIMITS,
    SERVE,
    Table,
    application,
    listing,
    node,
    placement,
    pod,
    stateful_set,
)


class World:
    """A controller and what it stands in front of."""

    def __init__(self, replicas: int = 1) -> None:
        self.now = 0.0
        self.ray = Table({})
        self.kubernetes = Table({})
        self.pods = [pod(each) for each in range(replicas)]
        self.serves({"m": application(1, "RUNNING")}, placement(0))
        self.declares(replicas)
        self.metrics = Metrics()
        self.controller = Controller(
            self.ray, self.kubernetes, "ns", "r1", self.metrics, lambda: self.now
        )

    def serves(self, applications: dict[str, Any], *placements: dict[str, Any]) -> None:
        self.ray.answers = {
            "/api/serve/applications/": {"applications": applications},
            "/api/v0/nodes": listing(*[node(each) for each in range(4)]),
            "/api/v0/placement_groups": listing(*placements),
        }

    def declares(self, replicas: int) -> None:
        self.kubernetes.answers = {
            "/apis/apps/v1/namespaces/ns/statefulsets/r1-ray-m": stateful_set(replicas),
            "/api/v1/namespaces/ns/pods": {"items": self.pods},
        }

    def round(self, goal: Goal = GOAL, after_s: float = 2.0) -> bool:
        self.now += after_s
        return self.controller.round(goal)


def test_what_is_as_it_should_be_is_left_alone() -> None:
    world = World()
    for _ in range(3):
        world.round()
    assert world.ray.told == []
    assert world.kubernetes.told == []


def test_only_a_round_without_anything_under_way_is_settled() -> None:
    world = World()
    assert world.round()
    world.serves({"m": application(2, "RUNNING", "STARTING")}, placement(0), placement(None))
    assert not world.round()  # a worker more
    world.pods.append(pod(1))
    world.declares(2)
    assert not world.round()  # Serve's replica starts
    world.serves({"m": application(2, "RUNNING", "RUNNING")}, placement(0), placement(1))
    assert world.round()
    world.ray.answers = {}
    assert not world.round()
    world.serves({})
    assert not world.round()  # to be configured
    world.serves({"m": application(2, "RUNNING", "RUNNING")}, placement(0), placement(1))
    world.kubernetes.answers = {}
    assert not world.round()


def test_an_empty_serve_gets_the_configuration_once_it_is_surely_empty() -> None:
    world = World()
    world.serves({})
    world.round()
    assert world.ray.told == []
    world.round(after_s=CALM_S)
    assert world.ray.told == [("PUT", "/api/serve/applications/", SERVE)]


def test_a_head_that_comes_back_with_all_it_had_is_told_nothing() -> None:
    world = World()
    world.round()
    kept = world.ray.answers
    world.ray.answers = {}
    world.round()
    world.serves({})
    world.round()
    world.ray.answers = kept
    world.round(after_s=CALM_S)
    assert world.ray.told == []


def test_a_changed_configuration_is_applied_at_once_and_again_only_after_a_while() -> None:
    world = World()
    changed = {**SERVE, "applications": [{**SERVE["applications"][0], "args": {"model": "x"}}]}
    goal = Goal(serve=changed, workers=(LIMITS,))
    world.round(goal)
    world.round(goal)
    assert len(world.ray.told) == 1
    world.round(goal, after_s=AGAIN_S)
    assert len(world.ray.told) == 2


def test_a_configuration_that_serve_refuses_is_said(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.ray.refuses = {"PUT"}
    world.serves({"m": application(1, config={"name": "m"})})
    with caplog.at_level("INFO", "r1.controller"):
        world.round()
    assert "does not take the configuration: no" in caplog.text


def test_more_workers_come_at_once_and_an_event_says_why() -> None:
    world = World()
    world.serves({"m": application(2, "RUNNING", "STARTING")}, placement(0), placement(None))
    world.round()
    assert world.kubernetes.scaled() == [2]
    assert world.kubernetes.events() == ["Scaled"]


def test_a_worker_without_a_replica_goes() -> None:
    world = World(replicas=2)
    world.round()
    assert world.kubernetes.scaled() == [1]


def test_a_worker_whose_replica_still_answers_stays_until_it_is_done() -> None:
    world = World(replicas=2)
    world.serves({"m": application(1, "RUNNING", "STOPPING")}, placement(0), placement(1))
    world.round()
    assert world.kubernetes.scaled() == []
    world.serves({"m": application(1, "RUNNING")}, placement(0))
    world.round()
    assert world.kubernetes.scaled() == [1]


def test_without_ray_nothing_is_taken_away_but_the_least_is_there() -> None:
    world = World(replicas=2)
    world.ray.answers = {}
    world.round()
    assert world.kubernetes.scaled() == []
    world.declares(0)
    world.round()
    assert world.kubernetes.scaled() == [1]


def test_an_outdated_group_is_restarted_as_a_whole() -> None:
    goal = Goal(serve=SERVE, workers=(LIMITS.model_copy(update={"group": 2}),))
    world = World()
    world.pods = [pod(0, revision="old"), pod(1, revision="old")]
    world.declares(2)
    world.serves({"m": application(1, "RUNNING")}, placement(0, 1))
    world.round(goal)
    deleted = [path for method, path, _ in world.kubernetes.told if method == "DELETE"]
    assert deleted == [f"/api/v1/namespaces/ns/pods/r1-ray-m-{each}" for each in (0, 1)]


def test_a_model_that_serve_cannot_bring_up_is_an_event() -> None:
    world = World()
    failed = {**application(1, "STARTING"), "status": "DEPLOY_FAILED", "message": "no memory"}
    world.serves({"m": failed}, placement(0))
    world.round()
    world.round()
    assert world.kubernetes.events() == ["Failing"]
    assert "m: Ray Serve: no memory" in str(world.kubernetes.told)


def test_kubernetes_that_does_not_answer_ends_no_round() -> None:
    world = World()
    world.kubernetes.answers = {}
    world.round()
    text = generate_latest(world.metrics.registry).decode()
    assert 'r1_controller_failures_total{server="kubernetes"} 1.0' in text


def test_metrics_tell_the_workers_of_each_model() -> None:
    world = World(replicas=2)
    world.round()
    text = generate_latest(world.metrics.registry).decode()
    for state, count in (("wanted", 1), ("declared", 2), ("joined", 2), ("holding", 1)):
        assert f'r1_workers{{model="m",state="{state}"}} {count}.0' in text
