"""Quantiles of histograms are where the observations are."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1.panel.quantile import quantile

BOUNDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
values = st.lists(st.floats(0, 10), min_size=1, max_size=60)
shares = st.floats(0.01, 1.0)


def counted(seen: list[float]) -> dict[float, float]:
    return {bound: float(sum(x <= bound for x in seen)) for bound in (*BOUNDS, math.inf)}


@given(values, shares)
def test_it_lies_in_the_bucket_of_the_true_one(seen: list[float], q: float) -> None:
    found = quantile(counted(seen), q)
    assert found is not None
    true = sorted(seen)[max(0, math.ceil(q * len(seen) - 1e-9) - 1)]
    place = bisect_left(BOUNDS, true)
    if place == len(BOUNDS):
        assert found == BOUNDS[-1]
    else:
        low = BOUNDS[place - 1] if place else 0.0
        assert low - 1e-12 <= found <= BOUNDS[place] + 1e-12


@given(values, shares, shares)
def test_it_never_falls_as_the_share_grows(seen: list[float], one: float, other: float) -> None:
    low, high = (quantile(counted(seen), each) for each in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high + 1e-12


@given(values, shares, st.integers(2, 5))
def test_seeing_everything_again_changes_nothing(seen: list[float], q: float, times: int) -> None:
    once, often = quantile(counted(seen), q), quantile(counted(seen * times), q)
    assert once is not None
    assert often is not None
    assert math.isclose(once, often, rel_tol=1e-9, abs_tol=1e-12)


def test_as_prometheus_interpolates() -> None:
    histogram = {0.1: 10.0, 0.5: 30.0, 1.0: 40.0, math.inf: 50.0}
    assert quantile(histogram, 0.1) == 0.05
    assert quantile(histogram, 0.4) == pytest.approx(0.3)
    assert quantile(histogram, 0.8) == 1.0
    assert quantile(histogram, 0.99) == 1.0
    assert quantile({0.1: 0.0, math.inf: 0.0}, 0.5) is None
    assert quantile({}, 0.5) is None
    assert quantile({math.inf: 3.0}, 0.5) is None
