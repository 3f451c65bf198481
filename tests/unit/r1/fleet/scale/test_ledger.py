"""Figures of what people saw."""

from __future__ import annotations

import pytest

from r1.fleet.scale.ledger import Seen, fair_shares, fairness, figures, recovery_s
from r1.fleet.scale.load import People

PEOPLE = People(1, ttft_s=10.0, tpot_s=0.05)


def whole(asked_s: float, first_s: float, ended_s: float, tokens: int = 101) -> Seen:
    return Seen("chat", "a", asked_s, tokens, first_s, ended_s, "whole", 1)


def test_an_answer_is_good_if_it_is_whole_in_time_and_fast() -> None:
    assert whole(0.0, 10.0, 15.0).good(PEOPLE)
    assert not whole(0.0, 10.1, 15.0).good(PEOPLE)
    assert not whole(0.0, 1.0, 6.1).good(PEOPLE)
    broken = Seen("chat", "a", 0.0, 10, 1.0, 1.2, "broken", 1)
    assert not broken.good(PEOPLE)


def test_figures_are_of_the_measured_time() -> None:
    left = Seen("chat", "b", 20.0, 500, None, 80.0, "left", 1)
    seen = [whole(5.0, 6.0, 8.0), whole(15.0, 16.0, 18.0), left]
    result = figures(
        seen, PEOPLE, measured=(10.0, 30.0), trouble=(0.0, 30.0), attempts=[5.0, 15.0, 20.0, 25.0],
        replica_hours=1.0, usd_per_hour=24.0,
    )  # fmt: skip
    assert result.asked == 2
    assert result.good == 0.5
    assert result.goodput == pytest.approx(101 / 20)
    assert result.ttft_s == 60.0
    assert result.amplification == pytest.approx(4 / 3)
    assert result.usd_per_million == pytest.approx(24e6 / 101)
    assert result.course == [(10.0, 1.0), (20.0, 0.0)]


def test_fairness_is_beside_what_each_asked_for() -> None:
    assert fair_shares({"small": 10, "large": 1000}, 100) == {"small": 10, "large": 90}
    assert fairness({"a": 10, "b": 1000}, {"a": 10, "b": 90}) == 1.0
    assert fairness({"a": 50, "b": 50}, {"a": 50}) == pytest.approx(0.5)
    assert fairness({"a": 10}, {}) == 0.0


def test_recovery_ends_with_the_last_bin_that_was_worse() -> None:
    course = [(0.0, 1.0), (10.0, 1.0), (20.0, 0.5), (30.0, 0.9), (40.0, 1.0)]
    assert recovery_s(course, 20.0) == 20.0
    assert recovery_s(course[:4], 20.0) is None
    assert recovery_s([(when, 1.0) for when, _ in course], 20.0) == 0.0
    assert recovery_s([], 20.0) is None
