"""The same chart under KubeRay's operator: new cluster, switch, and the old one goes.

The tests are the steps of one release's life, in this order.
"""

from collections.abc import Iterator

import pytest

from loadtests.steady.traffic import Traffic
from tests.e2e.monitors import monitored
from tests.e2e.release import MODEL, Release, Values, merged
from tests.e2e.steps import (
    assert_one_engine_counts,
    assert_sums_are_right,
    disturbed,
    install,
    kill,
    restart_gateways,
    uids,
    wait_gone,
    wait_new,
)
from tests.e2e.tools import Tools

pytestmark = pytest.mark.timeout(1500)

RUNTIME = "kuberay"


@pytest.fixture(scope="module")
def release(tools: Tools, small: Values) -> Iterator[Release]:
    # The old cluster stays for a start elsewhere and the longest answer: here a minute is enough.
    ray = {"kuberay": {"deletionDelaySeconds": 60}, "replacementSeconds": 60}
    short = {"longestAnswer": 60, "ray": ray}
    release = Release(tools, "kuberay", merged(small, {"runtime": RUNTIME, **short}))
    try:
        yield release
    finally:
        release.take_away()


def test_nothing_becomes_a_gateway_that_answers(release: Release) -> None:
    install(release, RUNTIME)
    assert_sums_are_right(release)


def test_helm_test_passes(release: Release) -> None:
    release.test()


def test_monitors_lead_to_both_planes_metrics(release: Release) -> None:
    scraped = monitored(release)
    assert sum(":8081/" in each for each in scraped) == len(release.pods("gateway"))
    assert_one_engine_counts(release)


@pytest.mark.slow
def test_gateways_restart_three_times(release: Release, traffic: Traffic) -> None:
    with disturbed(RUNTIME, "gateways restarted three times", traffic):
        restart_gateways(release, 3)


@pytest.mark.slow
def test_a_changed_model_is_a_new_cluster_and_a_switch(release: Release, traffic: Traffic) -> None:
    old = uids(release, "ray-head")
    with disturbed(RUNTIME, "helm upgrade, model changed", traffic):
        release.upgrade(models={MODEL: {"engine": {"max_num_seqs": 24}}})
        wait_new(release, "ray-head", old, 1)


@pytest.mark.slow
def test_a_rollback_is_a_switch_back(release: Release, traffic: Traffic) -> None:
    old = uids(release, "ray-head")
    with disturbed(RUNTIME, "helm rollback, model changed back", traffic):
        release.rollback(1)
        wait_new(release, "ray-head", old, 1)
    assert_sums_are_right(release)


@pytest.mark.slow
def test_a_worker_is_lost(release: Release, traffic: Traffic) -> None:
    before = uids(release, "ray-worker")
    victim = release.pods("ray-worker")[0]["metadata"]
    with disturbed(RUNTIME, "a Ray worker killed", traffic):
        kill(release, victim["name"])
        wait_new(release, "ray-worker", {victim["uid"]}, len(before))


@pytest.mark.slow
def test_the_head_is_lost(release: Release, traffic: Traffic) -> None:
    before = uids(release, "ray-head")
    with disturbed(RUNTIME, "the Ray head killed", traffic):
        kill(release, release.pods("ray-head")[0]["metadata"]["name"])
        wait_new(release, "ray-head", before, 1)


def test_nothing_is_left_but_what_is_documented(release: Release) -> None:
    release.uninstall()
    wait_gone(release)
