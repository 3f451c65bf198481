"""A release without operators, from `helm install` to `helm uninstall`, under steady traffic.

The tests are the steps of one release's life, in this order.
"""

from collections.abc import Iterator

import pytest

from loadtests.steady.traffic import Traffic
from tests.e2e.monitors import monitored
from tests.e2e.network.check import let_in, recorded, refused
from tests.e2e.release import MODEL, NAME, Release, Values, merged
from tests.e2e.rights import rights
from tests.e2e.steps import (
    assert_one_engine_counts,
    assert_sums_are_right,
    disturbed,
    evict,
    install,
    kill,
    restart_gateways,
    uids,
    wait_gone,
    wait_new,
)
from tests.e2e.tools import Tools

pytestmark = pytest.mark.timeout(1500)

RUNTIME = "plain"
TWO = {"models": {MODEL: {"replicas": 2}}}


@pytest.fixture(scope="module")
def release(tools: Tools, small: Values) -> Iterator[Release]:
    release = Release(tools, "plain", small)
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
    gateways = [each for each in scraped if ":8081/" in each]
    assert len(gateways) == len(release.pods("gateway"))
    assert sum(scraped[each]["r1_requests_total"] for each in gateways) >= 1
    assert any("r1_memory_used_ratio" in sums for sums in scraped.values())
    assert_one_engine_counts(release)


def test_accounts_may_do_only_what_they_need(release: Release) -> None:
    assert rights(release, f"{NAME}-gateway") == set()
    assert rights(release, "default") == set()


def test_changed_gateway_settings_reach_callers_without_an_error(
    release: Release, traffic: Traffic
) -> None:
    before = uids(release, "gateway")
    with disturbed(RUNTIME, "helm upgrade, gateway settings changed", traffic):
        release.upgrade(gateway={"config": {"limits": {"usage_days": 91}}})
        wait_new(release, "gateway", before, len(before))


def test_a_rollback_is_no_error_either(release: Release, traffic: Traffic) -> None:
    before = uids(release, "gateway")
    with disturbed(RUNTIME, "helm rollback", traffic):
        release.rollback(1)
        wait_new(release, "gateway", before, len(before))
    assert_sums_are_right(release)


@pytest.mark.slow
def test_gateways_restart_three_times(release: Release, traffic: Traffic) -> None:
    with disturbed(RUNTIME, "gateways restarted three times", traffic):
        restart_gateways(release, 3)


@pytest.mark.slow
def test_a_second_replica_comes_without_an_error(release: Release, traffic: Traffic) -> None:
    with disturbed(RUNTIME, "a second replica", traffic):
        release.upgrade(**TWO)
        release.wait_settled()


@pytest.mark.slow
def test_a_changed_model_is_rolled_out(release: Release, traffic: Traffic) -> None:
    changed = merged(TWO, {"models": {MODEL: {"engine": {"max_num_seqs": 24}}}})
    with disturbed(RUNTIME, "helm upgrade, model changed", traffic):
        release.upgrade(**changed)
        release.wait_settled()


@pytest.mark.slow
def test_policies_let_pass_what_is_needed_and_no_stranger(
    release: Release, traffic: Traffic
) -> None:
    recorder = recorded(release, traffic)
    assert refused(release, recorder) == []
    assert let_in(release, recorder) == []


@pytest.mark.slow
def test_redis_restarts(release: Release, traffic: Traffic) -> None:
    before = uids(release, "redis")
    with disturbed(RUNTIME, "Redis restarted", traffic):
        release.kubectl("delete", "pod", release.pods("redis")[0]["metadata"]["name"])
        wait_new(release, "redis", before, 1)


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


@pytest.mark.slow
def test_a_drain_asks_the_budgets(release: Release, traffic: Traffic) -> None:
    """The one node can't be drained; its pods are evicted as a drain does it."""
    with disturbed(RUNTIME, "a gateway and a worker evicted", traffic):
        for component in ("gateway", "ray-worker"):
            pods = release.pods(component)
            assert evict(release, pods[0]["metadata"]["name"])
            # The second one has to wait until the first one is back.
            assert not evict(release, pods[1]["metadata"]["name"])
            wait_new(release, component, {pods[0]["metadata"]["uid"]}, len(pods))


def test_nothing_is_left_but_what_is_documented(release: Release) -> None:
    release.uninstall()
    wait_gone(release)
