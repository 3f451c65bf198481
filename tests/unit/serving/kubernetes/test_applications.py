"""What Ray Serve is told of its applications."""

from typing import Any

import pytest

from serving.kubernetes.applications import configuration, differing
from tests.unit.serving.kubernetes.answers import SERVE, application

GIVEN: dict[str, Any] = SERVE["applications"][0]


def serve(**arguments: Any) -> dict[str, Any]:
    return {**SERVE, "applications": [{**GIVEN, "args": {"model": "m", **arguments}}]}


def there(*, deployments: Any = None, gang: int | None = None, **arguments: Any) -> dict[str, Any]:
    config = {**GIVEN, "args": {"model": "m", **arguments}}
    if deployments is not None:
        config["deployments"] = deployments
    return {"m": application(1, "RUNNING", gang=gang, config=config)}


def number(replicas: int) -> list[dict[str, Any]]:
    return [{"name": "ModelServer:m", "num_replicas": replicas}]


def test_what_serve_adds_by_itself_is_no_difference() -> None:
    assert differing(SERVE, {"m": application(1)}) == []


@pytest.mark.parametrize(
    "applications",
    [
        {},
        {"m": application(1, config={"name": "m", "args": {"model": "m", "replicas": 2}})},
        {"m": {"deployed_app_config": None}},
    ],
)
def test_an_application_that_is_not_there_as_given_differs(applications: dict[str, object]) -> None:
    assert differing(SERVE, applications) == ["m"]


def test_an_application_too_many_differs() -> None:
    assert differing(SERVE, {"m": application(1), "old": application(1)}) == ["old"]


def test_another_number_of_replicas_is_told_alone() -> None:
    here = there(replicas=1, surge_percent=100)
    told = configuration(serve(replicas=2, surge_percent=50), here)
    (found,) = told["applications"]
    assert found["args"] == {"model": "m", "replicas": 1, "surge_percent": 100}
    assert found["deployments"] == number(2)
    assert differing(told, here) == ["m"]


def test_a_number_that_was_told_is_there() -> None:
    here = there(replicas=1, deployments=number(2))
    assert differing(configuration(serve(replicas=2), here), here) == []
    # And back again.
    assert differing(configuration(serve(replicas=1), here), here) == ["m"]


def test_data_parallel_replicas_are_counted_in_groups() -> None:
    told = configuration(serve(replicas=2), there(replicas=1, gang=8))
    assert told["applications"][0]["deployments"] == number(16)


def test_what_is_there_as_given_stays_as_given() -> None:
    assert configuration(serve(replicas=1), there(replicas=1)) == serve(replicas=1)


@pytest.mark.parametrize(
    ("now", "before"),
    [
        ({"replicas": 2, "engine": {"max_num_seqs": 8}}, {"replicas": 1}),
        ({"autoscaling": {"max_replicas": 2}}, {"replicas": 1}),
        ({"replicas": 2}, {"autoscaling": {"max_replicas": 2}}),
    ],
)
def test_another_engine_is_told_whole(now: dict[str, Any], before: dict[str, Any]) -> None:
    given = serve(**now)
    assert configuration(given, there(**before)) == given


def test_a_first_configuration_is_told_whole() -> None:
    assert configuration(serve(replicas=2), {}) == serve(replicas=2)
