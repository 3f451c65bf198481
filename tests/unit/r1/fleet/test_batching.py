"""Windows compared in virtual time."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from r1.fleet.batching import FixedWindow, play, quantile
from r1.fleet.scenarios import HIGH, LOW, Phase

CHAT = replace(HIGH[1], users=12, warm_up_s=2.0, measured_s=10.0)


def test_a_window_bounds_the_batch_and_so_the_gaps() -> None:
    small = play(CHAT, lambda scenario: FixedWindow(2))
    large = play(CHAT, lambda scenario: FixedWindow(12))
    assert small.throughput < 0.5 * large.throughput
    assert small.itl() < large.itl()
    assert small.ttft() > large.ttft()
    assert small.kept
    assert large.kept


def test_the_same_seed_gives_the_same_figures() -> None:
    first, again = (play(CHAT, lambda scenario: FixedWindow(4)) for _ in range(2))
    assert (first.tokens, first.gaps, first.waits) == (again.tokens, again.gaps, again.waits)
    other = play(CHAT, lambda scenario: FixedWindow(4), seed=2)
    assert other.waits != first.waits


def test_random_arrivals_have_their_rate() -> None:
    scenario = replace(LOW[1], phases=(Phase(100.0, 6.0),), warm_up_s=0.0, measured_s=120.0)
    result = play(scenario, lambda scenario: FixedWindow(128))
    assert len(result.waits) == pytest.approx(600, abs=100)
    assert result.scenario.name == "quiet chat"


def test_quantiles() -> None:
    values = array("f", range(100))
    assert quantile(values, 0.99) == 99
    assert quantile(values, 0.5) == 50
    assert quantile(array("f"), 0.5) == 0
