"""Ray's and Kubernetes' answers as what the controller decides by."""

import pytest

from serving.kubernetes.seen import Cluster, Ray, listed, scene
from serving.kubernetes.workers import Worker
from tests.unit.serving.kubernetes.answers import (
    LIMITS,
    application,
    listing,
    node,
    placement,
    pod,
    stateful_set,
)


def test_workers_are_pods_whose_ray_node_is_alive() -> None:
    ray = Ray({"m": application(2, "RUNNING")}, (node(0), node(1, "DEAD")), (placement(0),))
    pods = (pod(0), pod(1), pod(2, leaving=True, revision="old"))
    found = scene(LIMITS, ray, Cluster(stateful_set(3), pods))
    assert found.workers == (
        Worker(0),
        Worker(1, joined=False),
        Worker(2, joined=False, leaving=True, outdated=True),
    )
    assert found.declared == 3


def test_pods_of_others_are_no_workers() -> None:
    other = pod(0)
    other["metadata"]["ownerReferences"] = [{"kind": "StatefulSet", "name": "r1-ray-other"}]
    ray = Ray({"m": application(1)}, (node(0),), ())
    assert scene(LIMITS, ray, Cluster(stateful_set(1), (other,))).workers == ()


def test_a_replica_without_a_place_wants_a_worker() -> None:
    ray = Ray(
        {"m": application(1, "RUNNING", "STARTING")},
        (node(0),),
        (placement(0), placement(None, state="PENDING")),
    )
    found = scene(LIMITS, ray, Cluster(stateful_set(1), (pod(0),)))
    assert (found.wanted, found.holders, found.settled) == (2, (frozenset({0}),), False)


def test_the_target_counts_before_replicas_are_there() -> None:
    ray = Ray({"m": application(2)}, (), ())
    assert scene(LIMITS, ray, Cluster(stateful_set(1), ())).wanted == 2


def test_replicas_on_a_leaving_worker_want_no_other_but_their_replacement_does() -> None:
    ray = Ray(
        {"m": application(1, "PENDING_MIGRATION", "STARTING")},
        (node(0), node(1)),
        (placement(0), placement(1)),
    )
    found = scene(LIMITS, ray, Cluster(stateful_set(1), (pod(0), pod(1, leaving=True))))
    assert found.wanted == 1
    assert found.holders == (frozenset({0}), frozenset({1}))


def test_other_models_and_removed_placements_hold_nothing() -> None:
    ray = Ray(
        {"m": application(1, "RUNNING")},
        (node(0), node(1)),
        (placement(0), placement(1, state="REMOVED"), placement(1, pool="model:other")),
    )
    found = scene(LIMITS, ray, Cluster(stateful_set(2), (pod(0), pod(1))))
    assert (found.wanted, found.holders) == (1, (frozenset({0}),))


def test_a_data_parallel_group_is_one_engine_however_many_replicas_it_has() -> None:
    limits = LIMITS.model_copy(update={"ranks_per_worker": 8, "group": 2})
    group = placement(*([0] * 8 + [1] * 8))
    ray = Ray({"m": application(32, *["RUNNING"] * 16, gang=16)}, (node(0), node(1)), (group,))
    found = scene(limits, ray, Cluster(stateful_set(2), (pod(0), pod(1))))
    assert found.holders == (frozenset({0, 1}),)
    assert found.wanted == 4


def test_small_replicas_share_a_worker() -> None:
    limits = LIMITS.model_copy(update={"ranks_per_worker": 8})
    ray = Ray({"m": application(3, "RUNNING")}, (node(0),), (placement(0, 0, 0, 0),))
    assert scene(limits, ray, Cluster(stateful_set(1), (pod(0),))).wanted == 2


def test_lists_are_read_from_rays_form_alone() -> None:
    assert listed(listing({"a": 1})) == ({"a": 1},)
    with pytest.raises(ValueError, match="no list"):
        listed({"data": None})
