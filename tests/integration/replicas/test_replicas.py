"""Replicas on Ray Serve that come, drain, hang, die and sleep under load: no stream is lost.

One stack for all; each test goes on where the one before it ended.
"""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.integration.conftest import weights_words
from tests.integration.local_stack import detached, wait_for
from tests.integration.replicas.observed import MODEL, Crowd, Observed, wait_until_served

pytestmark = pytest.mark.timeout(900)

# Quick delays, and a target that a few callers pass. A step of this engine takes milliseconds.
QUICK = {
    "replicas": None,
    "autoscaling": {
        "min_replicas": 0,
        "max_replicas": 2,
        "target_ongoing_requests": 6,
        "upscale_delay_s": 1,
        "downscale_delay_s": 4,
        "look_back_s": 4,
    },
    "surge_percent": 100,
    "stall_s": 8,
}
LONG, SHORT = 600, 150


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A stack with one model and one replica."""
    words = ("--models", MODEL, *weights_words())
    with detached(tmp_path_factory.mktemp("state"), *words) as made:
        yield Observed(made)


def test_a_replica_registers_itself_and_is_asked_directly(one: Observed) -> None:
    (url,) = wait_until_served(one, 1)
    assert url.endswith(f"/{MODEL}")
    (told,) = one.entries().values()
    assert (told["capacity"], told["adapters"]) == (32, [])
    wait_for("the gateway to know it", lambda: one.metric("r1_upstream_up") == 1)
    with Crowd(one, callers=2, tokens=LONG).calling() as crowd:
        wait_for("its load", lambda: any(each["load"] for each in one.entries().values()))
    assert not crowd.failures
    wait_for("its prefix cache", lambda: one.entries()[url]["prefix_hits"] > 0)
    assert one.metric("r1_upstream_attempts_total", upstream="replica-1", outcome="ok") > 1
    shown = one.stack.r1("status").stdout
    assert "replicas: 1 running" in shown
    told_logs = one.stack.r1("logs", "-n", "100000").stdout
    assert one.password not in told_logs


def test_an_in_place_redeploy_loses_no_stream(one: Observed) -> None:
    (before,) = wait_until_served(one, 1)
    with Crowd(one, callers=3, tokens=LONG).calling() as crowd:
        one.redeploy(**QUICK)
        wait_for("the new replica", lambda: bool(one.ready() - {before}))
        wait_for("the old one to go", lambda: before not in one.entries())
        ended = len(crowd.endings)
        wait_for("answers of the new one", lambda: len(crowd.endings) > ended + 3)
    assert not crowd.failures


def test_a_rising_load_gets_a_second_replica(one: Observed) -> None:
    with Crowd(one, callers=8, tokens=LONG).calling() as crowd:
        both = wait_until_served(one, 2)
        wait_for(
            "both to be busy", lambda: all(each["load"] > 0 for each in one.entries().values())
        )
        assert len(both) == 2
    assert not crowd.failures


@pytest.mark.slow
def test_an_engine_that_hangs_is_replaced_and_its_streams_go_on_elsewhere(one: Observed) -> None:
    with Crowd(one, callers=8, tokens=LONG).calling() as crowd:
        hanging = sorted(wait_until_served(one, 2))[0]
        resumed = one.metric("r1_resumes_total", outcome="ok")
        wait_for("requests on it", lambda: one.entries()[hanging]["load"] > 0)
        os.kill(one.engine_core(hanging), signal.SIGSTOP)
        wait_for("it to be found", lambda: hanging not in one.ready(), limit_s=60)
        wait_for("its end", lambda: hanging not in one.entries(), limit_s=60)
        wait_until_served(one, 2)
    assert not crowd.failures
    assert one.metric("r1_resumes_total", outcome="ok") > resumed


def test_a_killed_replica_vanishes_and_its_streams_go_on_elsewhere(one: Observed) -> None:
    with Crowd(one, callers=8, tokens=LONG).calling() as crowd:
        killed = sorted(wait_until_served(one, 2))[0]
        resumed = one.metric("r1_resumes_total", outcome="ok")
        wait_for("requests on it", lambda: one.entries()[killed]["load"] > 0)
        process = one.replica_process(killed)
        core = psutil.Process(one.engine_core(killed))
        os.kill(process, signal.SIGKILL)
        wait_for("its entry to expire", lambda: killed not in one.entries(), limit_s=60)
        wait_for("its engine to end", lambda: not core.is_running(), limit_s=60)
        wait_until_served(one, 2)
    assert not crowd.failures
    assert one.metric("r1_resumes_total", outcome="ok") > resumed


def test_a_falling_load_takes_a_replica_away_without_losing_a_stream(one: Observed) -> None:
    assert len(one.ready()) == 2
    with Crowd(one, callers=2, tokens=LONG).calling() as crowd:
        wait_until_served(one, 1)
        ended = len(crowd.endings)
        wait_for("more answers", lambda: len(crowd.endings) > ended + 2)
    assert not crowd.failures


def test_nobody_s_model_sleeps_and_wakes_for_who_comes_without_a_failure(one: Observed) -> None:
    wait_for("the last replica to go", lambda: one.entries() == {})
    wait_for(
        "it to be told",
        lambda: "none: the next request starts one" in one.stack.r1("status").stdout,
    )
    # The gateway's looks must not keep it awake.
    assert one.stack.is_ready()
    with ThreadPoolExecutor(8) as callers:
        endings = list(callers.map(lambda _: one.stream(SHORT), range(8)))
    assert {(each.status, each.tokens, each.finish, each.done) for each in endings} == {
        (200, SHORT, "length", True)
    }
    wait_until_served(one, 1)
