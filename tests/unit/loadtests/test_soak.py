"""When faults come in a long run, and what counts as flat."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.soak.flat import Growth, slope
from loadtests.soak.schedule import LAST_S, schedule

FAULTS = [("killed", 3.0), ("frozen", 40.0), ("flushed", 5.0)]


@given(st.integers(), st.floats(10, 4000), st.floats(1, 60))
def test_faults_come_one_after_the_other_and_end_in_time(
    seed: int, seconds: float, most_hold_s: float
) -> None:
    strikes = schedule(seed, seconds, FAULTS, most_hold_s=most_hold_s)
    over = 0.0
    for strike in strikes:
        assert strike.at > over
        assert 0 < strike.hold_s <= min(most_hold_s, dict(FAULTS)[strike.fault])
        over = strike.at + strike.hold_s
    assert over <= seconds - LAST_S
    assert strikes == schedule(seed, seconds, FAULTS, most_hold_s=most_hold_s)


def test_each_fault_comes_as_often_as_any_other() -> None:
    names = [strike.fault for strike in schedule(7, 3600, FAULTS, most_hold_s=10)]
    counts = [names.count(name) for name, _ in FAULTS]
    assert min(counts) > 20
    assert max(counts) - min(counts) <= 1
    assert names != [strike.fault for strike in schedule(8, 3600, FAULTS, most_hold_s=10)]


def test_without_faults_there_are_none() -> None:
    assert schedule(1, 3600, [], most_hold_s=10) == []


def test_a_slope_is_not_misled_by_a_quarter_of_the_points() -> None:
    rng = random.Random(3)
    points = [(float(at), 100 + 0.5 * at) for at in range(200)]
    assert slope(points) == pytest.approx(0.5)
    wild = [(at, 1e6 if rng.random() < 0.2 else value) for at, value in points]
    assert slope(wild) == pytest.approx(0.5, abs=0.01)
    assert slope(points[:1]) == slope([]) == 0.0


def test_many_points_cost_no_more_than_some() -> None:
    assert slope([(float(at), 3.0 * at) for at in range(100_000)]) == pytest.approx(3.0)


def test_growth_counts_once_all_is_settled() -> None:
    filling = [(float(at), min(at, 20.0) + 100) for at in range(101)]
    growth = Growth.of(filling)
    assert (growth.grown, growth.usual) == (0.0, 120.0)
    leaking = Growth.of([(float(at), 100.0 + at) for at in range(101)])
    assert leaking.grown == pytest.approx(75)
    assert not leaking.within(0.05, 2)
    assert leaking.within(0.5, 2)
    assert leaking.within(0.0, 80)
    assert Growth.of([]).within(0.0, 0.0)
