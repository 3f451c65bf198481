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
