"""Whatever workers count, and whatever labels are called, Prometheus reads their sum."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.exposition import OPENMETRICS, PLAIN, render
from gateway.telemetry.families import Family, Meter
from gateway.telemetry.sheet import Sheet, SheetFiles, make_files, read
from gateway.telemetry.tenants import OTHER, at_most

COUNTER = Family("c_total", "counter", "Counts.", ("who",))
TIMES = Family("t_seconds", "histogram", "Took.", ("who",), (0.1, 1, 5400))
COST = Family("cost_total", "counter", "Costs.", ("tenant",))

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8)
amounts = st.floats(0, 1e9)
workers = st.lists(st.lists(st.tuples(names, amounts), max_size=6), min_size=1, max_size=4)


@contextmanager
def sheets(count: int) -> Iterator[list[SheetFiles]]:
    """Closed at once: there are some for each example."""
    made = [make_files() for _ in range(count)]
    yield made
    for each in made:
        os.close(each.cells)
        os.close(each.names)


def samples(text: str, form: str) -> dict[tuple[str, tuple[str, ...]], float]:
    openly: Any = openmetrics.text_string_to_metric_families
    parse = openly if form == OPENMETRICS else text_string_to_metric_families
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("form", [PLAIN, OPENMETRICS])
@given(counted=workers)
def test_the_sum_over_all_workers_is_what_was_counted(
    form: str, counted: list[list[tuple[str, float]]]
) -> None:
    totals: dict[str, list[float]] = {}
    with sheets(len(counted)) as files:
        for sheet, events in zip(files, counted, strict=True):
            meter = Meter(Sheet(sheet))
            for who, amount in events:
                meter.number(COUNTER, who).add(amount)
                meter.distribution(TIMES, who).observe(amount)
                totals.setdefault(who, []).append(amount)
        got = samples(render((COUNTER, TIMES), [read(each) for each in files], form=form), form)
    for who, amounts_of in totals.items():
        total = pytest.approx(sum(amounts_of))
        assert got["c_total", (who,)] == got["t_seconds_sum", (who,)] == total
        for bound in (0.1, 1.0, 5400.0, math.inf):
            label = "+Inf" if bound == math.inf else str(bound)
            below = sum(amount <= bound for amount in amounts_of)
            assert got["t_seconds_bucket", (who, label)] == below
        assert got["t_seconds_count", (who,)] == len(amounts_of)
    assert len(got) == 7 * len(totals)


@given(st.lists(workers, min_size=1, max_size=3), st.integers(1, 4))
def test_tenants_are_bounded_and_no_series_falls(
    looks: list[list[list[tuple[str, float]]]], most: int
) -> None:
    fold = at_most(most)
    last: dict[tuple[str, tuple[str, ...]], float] = {}
    spent = 0.0
    with sheets(4) as files:
        meters = [Meter(Sheet(each)) for each in files]
        for counted in looks:
            for meter, events in zip(meters, counted, strict=False):
                for tenant, usd in events:
                    meter.number(COST, tenant).add(usd)
                    spent += usd
            now = samples(render((COST,), [read(each) for each in files], fold=fold), PLAIN)
            assert all(now[series] >= value * (1 - 1e-9) for series, value in last.items())
            assert len({tenant for _, (tenant,) in now} - {OTHER}) <= most
            assert sum(now.values()) == pytest.approx(spent)
            last = now
