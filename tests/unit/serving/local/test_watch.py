from enum import Enum
from typing import Any

from serving.local.events import Event
from serving.local.watch import ModelWatch


def snapshot(
    status: str, *replicas: str, deployment: str = "HEALTHY", message: str = ""
) -> dict[str, Any]:
    return {
        "status": status,
        "message": "",
        "deployments": {
            "ModelServer:r1-nano": {
                "status": deployment,
                "message": message,
                "replicas": [{"replica_id": each, "state": "RUNNING"} for each in replicas],
            }
        },
    }


STARTING = snapshot("DEPLOYING", deployment="UPDATING")
FAILURE = "The deployment failed to start 1 times in a row.\nValueError: bad weights"


def test_a_start_ends_in_ready_once() -> None:
    watch = ModelWatch("r1-nano")
    assert watch.look(None) == []
    assert watch.look(STARTING) == []
    assert watch.look(snapshot("RUNNING", "a")) == [Event("r1-nano", "ready")]
    assert watch.look(snapshot("RUNNING", "a")) == []


def test_a_first_start_that_fails_once_is_a_failure() -> None:
    watch = ModelWatch("r1-nano")
    failing = snapshot("DEPLOYING", deployment="UPDATING", message=FAILURE)
    assert watch.look(failing) == [Event("r1-nano", "failed", "ValueError: bad weights")]
    assert watch.look(failing) == []
    assert watch.failed


def test_a_build_that_fails_is_a_failure_with_its_reason() -> None:
    watch = ModelWatch("r1-nano")
    broken = {"status": "DEPLOY_FAILED", "message": "serving.errors.UnknownModelError: no x"}
    assert watch.look(broken) == [
        Event("r1-nano", "failed", "serving.errors.UnknownModelError: no x")
    ]


def test_a_dead_replica_is_told_and_its_return_too() -> None:
    watch = ModelWatch("r1-nano")
    watch.look(snapshot("RUNNING", "a"))
    lost = watch.look(snapshot("DEPLOYING", deployment="UPDATING"))
    assert [event.state for event in lost] == ["restarting"]
    assert not watch.ready
    assert watch.look(snapshot("RUNNING", "b")) == [Event("r1-nano", "ready")]


def test_a_replica_replaced_between_two_looks_is_told() -> None:
    watch = ModelWatch("r1-nano")
    watch.look(snapshot("RUNNING", "a"))
    (event,) = watch.look(snapshot("RUNNING", "b"))
    assert event.state == "ready"
    assert "replaced" in event.message


def test_a_running_application_without_a_replica_is_not_ready() -> None:
    assert ModelWatch("r1-nano").look(snapshot("RUNNING")) == []


def test_a_model_that_nobody_asks_is_ready_without_a_replica() -> None:
    watch = ModelWatch("r1-nano")
    watch.look(snapshot("RUNNING", "a"))
    asleep = snapshot("RUNNING")
    asleep["deployments"]["ModelServer:r1-nano"]["target_num_replicas"] = 0
    assert watch.look(asleep) == []
    waking = snapshot("RUNNING", deployment="UPSCALING")
    assert watch.look(waking) == []
    assert watch.look(snapshot("RUNNING", "b")) == []
    assert watch.ready
    assert watch.count(asleep) == [
        Event("r1-nano", "replicas", "none: the next request starts one")
    ]


def test_fewer_replicas_than_before_are_no_loss() -> None:
    watch = ModelWatch("r1-nano")
    watch.look(snapshot("RUNNING", "a", "b"))
    assert watch.look(snapshot("RUNNING", "a")) == []


class State(str, Enum):  # noqa: UP042 - as Ray Serve's is made
    RUNNING = "RUNNING"


def test_the_replicas_states_are_told_when_they_change() -> None:
    watch = ModelWatch("r1-nano")
    seen = snapshot("RUNNING", "a", "b")
    for each in seen["deployments"]["ModelServer:r1-nano"]["replicas"]:
        each["state"] = State.RUNNING
    assert watch.count(None) == []
    assert watch.count(seen) == [Event("r1-nano", "replicas", "2 running")]
    assert watch.count(seen) == []
    seen["deployments"]["ModelServer:r1-nano"]["replicas"][0]["state"] = "STOPPING"
    assert watch.count(seen) == [Event("r1-nano", "replicas", "1 running, 1 stopping")]


def test_what_a_first_start_does_is_told_until_it_is_over() -> None:
    watch = ModelWatch("r1-nano")
    assert watch.hear("") == []
    fetching = Event("r1-nano", "starting", "fetching weights: 3 % of 688.6 GB")
    assert watch.hear(fetching.message) == [fetching]
    assert watch.hear(fetching.message) == []
    assert watch.hear("") == [Event("r1-nano", "starting", "")]
    watch.look(snapshot("RUNNING", "a"))
    assert watch.hear(fetching.message) == []
