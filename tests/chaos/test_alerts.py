"""Faults put into a running stack: the expected alert fires in its time, and clears.

No other critical alert may fire meanwhile: whoever is woken looks at the cause, not at its shadows.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.integration.observability.drilled import NARROW, UNBOUND, Drilled, drilled

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilled]:
    with drilled(tmp_path_factory.mktemp("drilled")) as made:
        yield made


@pytest.fixture
def stack(running: Drilled) -> Iterator[Drilled]:
    """In health at the beginning, and again at the end."""
    running.clears()
    yield running
    for each in running.engines:
        each.reset()


def test_a_killed_replica(stack: Drilled) -> None:
    stack.engines[0].end(signal.SIGKILL)
    stack.fires("R1TargetDown")
    assert stack.gateway.post().status_code == 200
    stack.revive(0)
    stack.clears("R1TargetDown")


def test_a_frozen_engine(stack: Drilled) -> None:
    frozen = stack.engines[0].child
    frozen.send_signal(signal.SIGSTOP)
    try:
        stack.fires("R1TargetDown")
    finally:
        frozen.send_signal(signal.SIGCONT)
    stack.clears("R1TargetDown")


def test_a_frozen_worker_of_the_gateway(stack: Drilled) -> None:
    frozen, *others = stack.gateway.worker_pids()
    os.kill(frozen, signal.SIGSTOP)
    try:
        stack.fires("R1WorkerSilent")
        assert stack.gateway.post().status_code == 200
    finally:
        os.kill(frozen, signal.SIGCONT)
    stack.clears("R1WorkerSilent")
    assert stack.gateway.worker_pids() == [frozen, *others]


def test_replicas_that_compute_different_things(stack: Drilled) -> None:
    stack.engines[0].control(drift=2.0)
    stack.fires("R1CanaryDisputed")
    stack.engines[0].reset()
    stack.clears("R1CanaryDisputed")


def test_a_stopped_redis(stack: Drilled) -> None:
    stack.redis.end()
    stack.fires("R1StoreDegraded")
    assert stack.gateway.post().status_code == 200
    stack.revive_redis()
    stack.clears("R1StoreDegraded")


def test_a_saturated_queue(stack: Drilled) -> None:
    for each in stack.engines:
        # Long answers whose tokens come in time: only places are short.
        each.control(step_s=0.05, reasoning=None, content=None)
    with stack.crowd(step=3, every_s=1.0, model=NARROW):
        # Who waits for a place waits for the first token: that objective may page too.
        stack.fires("R1QueueGrowing", critical=("R1TtftBudgetBurn",))
        for each in stack.engines:
            each.reset()
    stack.clears("R1QueueGrowing")


def test_a_full_kv_cache(stack: Drilled) -> None:
    for each in stack.engines:
        each.control(step_s=0.02, reasoning=None, content=None, reasoning_tokens=300)
    with stack.load(64, model=UNBOUND):
        stack.fires("R1GpuMemoryUsedHigh")
        stack.fires("R1KvCacheFull")
        stack.fires("R1PreemptionsHigh")
        for each in stack.engines:
            each.reset()
    stack.clears("R1GpuMemoryUsedHigh", "R1KvCacheFull", "R1PreemptionsHigh")


def test_no_replica_left(stack: Drilled) -> None:
    """The last one here: a spent budget is told of for long."""
    for each in stack.engines:
        each.end(signal.SIGKILL)
    burns = ("R1AvailabilityBudgetBurn", "R1StreamBudgetBurn")
    stack.fires("R1NoHealthyUpstream", critical=burns)
    for number in range(len(stack.engines)):
        stack.revive(number)
    stack.clears("R1NoHealthyUpstream")
