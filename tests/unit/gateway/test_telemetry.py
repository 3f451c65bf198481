"""Sheets, their sum as Prometheus' text, and logs."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.protocol.usage import Usage
from gateway.telemetry import sheet as sheets
from gateway.telemetry.exposition import OPENMETRICS, PLAIN, media_type, render
from gateway.telemetry.families import Family, Meter
from gateway.telemetry.logs import JsonFormatter
from gateway.telemetry.metrics import (
    COST,
    DURATION,
    FAMILIES,
    ITL,
    TTFC,
    TTFT,
    Metrics,
    prompt_bucket,
)
from gateway.telemetry.sheet import Cell, Sheet, make_files, read, read_exemplars
from gateway.telemetry.tenants import OTHER, at_most
from gateway.telemetry.trace import Trace

COUNTER = Family("c_total", "counter", "Counts.", ("who",))
GAUGE = Family("g", "gauge", "Is.", ())
WORST = Family("w", "gauge", "Is worst.", (), across="max")
LEAST = Family("l", "gauge", "Is least.", (), across="min")
LAST = Family("r", "gauge", "Was last.", ("who",), across="latest")
TIMES = Family("t_seconds", "histogram", "Took.", ("who",), (0.1, 1))
ALL = (COUNTER, GAUGE, WORST, LEAST, TIMES)


def samples(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_sheets_are_added_up() -> None:
    files = [make_files(), make_files()]
    for number, each in enumerate(files, start=1):
        meter = Meter(Sheet(each))
        meter.number(COUNTER, 'a"\\\n').add(number)
        meter.number(GAUGE).set(10 * number)
        meter.number(WORST).set(number)
        meter.number(LEAST).set(number)
        meter.distribution(TIMES, "x").observe(0.05)
        meter.distribution(TIMES, "x").observe(0.1)
        meter.distribution(TIMES, "x").observe(5, times=3)
    got = samples(render(ALL, [read(each) for each in files]))
    assert got[("c_total", 'a"\\\n')] == 3
    assert got[("g", "")] == 30
    assert (got[("w", "")], got[("l", "")]) == (2, 1)
    assert got[("t_seconds_bucket", "x,0.1")] == 4
    assert got[("t_seconds_bucket", "x,1.0")] == 4
    assert got[("t_seconds_bucket", "x,+Inf")] == 10
    assert got[("t_seconds_count", "x")] == 10
    assert got[("t_seconds_sum", "x")] == pytest.approx(30.3)


def test_a_new_worker_goes_on_counting_and_holds_nothing() -> None:
    files = make_files()
    before = Metrics(Meter(Sheet(files)))
    before.rejected("m", "why")
    with before.working("m"):
        after = Metrics(Meter(Sheet(files)))
        after.rejected("m", "why")
        got = samples(render(FAMILIES, [read(files)]))
    assert got[("r1_rejections_total", "m,why")] == 2
    assert got[("r1_inflight_requests", "m")] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="memory without a file is Linux's")
def test_counts_need_no_disk() -> None:
    """A page that a full disk has no room for would kill whoever counts on it."""
    files = make_files()
    for descriptor in (files.cells, files.names):
        assert os.readlink(f"/proc/self/fd/{descriptor}").startswith("/memfd:")


def test_what_nobody_knows_is_not_shown() -> None:
    files = [make_files(), make_files()]
    one, other = (Metrics(Meter(Sheet(each))) for each in files)
    one.upstream_up("m", "replica-1", True)
    other.upstream_up("m", "replica-1", False)
    one.upstream_gone("m", "replica-1")
    place = ("r1_upstream_up", "m,replica-1")
    assert samples(render(FAMILIES, [read(each) for each in files]))[place] == 0
    # A worker that died knows nothing any more, and the next one in its place nothing yet.
    Metrics(Meter(Sheet(files[1])))
    assert place not in samples(render(FAMILIES, [read(each) for each in files]))


def test_the_gauge_falls_whatever_happens() -> None:
    files = make_files()
    metrics = Metrics(Meter(Sheet(files)))
    with pytest.raises(ValueError, match="boom"), metrics.working("m"):
        raise ValueError("boom")
    assert samples(render(FAMILIES, [read(files)]))[("r1_inflight_requests", "m")] == 0


def test_a_line_that_is_still_being_written_is_left_out() -> None:
    files = make_files()
    Sheet(files).place(Cell("a", "", ()))
    os.pwrite(files.names, b'["b"', os.fstat(files.names).st_size)
    assert [cell.family for cell, _ in read(files)] == ["a"]
    # Its writer was killed: who takes its place begins a line of its own.
    Sheet(files).place(Cell("c", "", ()))
    assert [cell.family for cell, _ in read(files)] == ["a", "c"]


def test_a_full_sheet_says_so_once_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sheets, "CAPACITY", 3)
    files = make_files()
    meter = Meter(Sheet(files))
    for who in "abcde":
        meter.number(COUNTER, who).add()
    assert samples(render(ALL, [read(files)])) == {("c_total", "a"): 1, ("c_total", "b"): 1}
    assert [record.message for record in caplog.records] == ["metrics_full"]


def test_the_last_value_counts_whoever_set_it() -> None:
    files = [make_files(), make_files()]
    clock = iter(range(10))
    one, other = (Meter(Sheet(each), now=lambda: float(next(clock))) for each in files)
    one.number(LAST, "m").set(0.1)
    other.number(LAST, "m").set(0.9)
    got = samples(render((LAST,), [read(each) for each in files]))
    assert got == {("r", "m"): 0.9}
    one.number(LAST, "m").set(0.5)
    assert samples(render((LAST,), [read(each) for each in files])) == {("r", "m"): 0.5}
    # Whose worker died says nothing any more.
    Meter(Sheet(files[0])).reset_gauges((LAST,))
    assert samples(render((LAST,), [read(each) for each in files])) == {("r", "m"): 0.9}


def test_tenants_with_a_label_are_bounded_over_all_workers_and_for_good() -> None:
    files = [make_files(), make_files()]
    workers = [Metrics(Meter(Sheet(each))) for each in files]
    fold = at_most(3)

    def shown() -> dict[str, float]:
        text = render(FAMILIES, [read(each) for each in files], fold=fold)
        found = samples(text).items()
        return {labels.split(",")[1]: value for (name, labels), value in found if name == COST.name}

    for name in ("a", "b", OTHER):
        workers[0].cost("m", name, 1.0)
    for name in ("b", "c", "d", "e"):
        workers[1].cost("m", name, 10.0)
    assert shown() == {"a": 1, "b": 11, "c": 10, OTHER: 21}
    workers[1].cost("m", "d", 100.0)
    assert shown() == {"a": 1, "b": 11, "c": 10, OTHER: 121}
    # Who takes a worker's place knows the names that it gave.
    assert Metrics(Meter(Sheet(files[0]))).tenants() == {"a", "b"}


def test_openmetrics_and_plain_text_say_the_same() -> None:
    files = make_files()
    metrics = Metrics(Meter(Sheet(files)))
    metrics.request_done("chat", "m", 200, 0.7)
    metrics.retry_budget("m", 0.25)
    plain = samples(render(FAMILIES, [read(files)]))
    text = render(FAMILIES, [read(files)], form=OPENMETRICS)
    parse: Any = openmetrics.text_string_to_metric_families
    families = {family.name: family for family in parse(text)}
    assert set(families) == {family.name.removesuffix("_total") for family in FAMILIES}
    assert plain == {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert plain[("r1_request_duration_seconds_bucket", "chat,m,0.5")] == 0
    assert plain[("r1_request_duration_seconds_bucket", "chat,m,1.0")] == 1
    prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"
    assert (media_type(prometheus), media_type("*/*")) == (OPENMETRICS, PLAIN)


def test_a_recorded_trace_is_its_buckets_exemplar_and_others_are_not() -> None:
    files = [make_files(), make_files()]
    clock = iter([1700000001.5, 1700000000.25, 1700000002.0])
    one, other = (Metrics(Meter(Sheet(each), wall=lambda: next(clock))) for each in files)
    seen, unseen = Trace("a" * 32, "b" * 16, flags=1), Trace("c" * 32, "d" * 16)
    one.request_done("chat", "m", 200, 0.7, seen.pointer)
    other.request_done("chat", "m", 200, 0.6, Trace("e" * 32, "f" * 16, flags=1).pointer)
    one.request_done("chat", "m", 200, 40.0, unseen.pointer)
    one.token_gaps("m").observe(0.011, 3, seen.pointer)
    pointers = [each for sheet in files for each in read_exemplars(sheet)]
    text = render(FAMILIES, [read(each) for each in files], form=OPENMETRICS, exemplars=pointers)
    parse: Any = openmetrics.text_string_to_metric_families
    shown = {
        (sample.name, sample.labels["le"]): sample.exemplar
        for family in parse(text)
        for sample in family.samples
        if sample.exemplar
    }
    # Of two workers' the one that came last; its bucket holds its value.
    latest = shown["r1_request_duration_seconds_bucket", "1.0"]
    assert latest.labels == {"trace_id": seen.id, "span_id": seen.span}
    assert (latest.value, float(latest.timestamp)) == (0.7, 1700000001.5)
    assert shown["r1_inter_token_latency_seconds_bucket", "0.02"].value == 0.011
    assert len(shown) == 2
    plain = render(FAMILIES, [read(each) for each in files], exemplars=pointers)
    assert samples(plain) == samples(plain.replace(seen.id, ""))
    assert samples(plain)["r1_request_duration_seconds_count", "chat,m"] == 3


def test_exemplars_never_take_the_place_of_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "CAPACITY", 16)
    files = make_files()
    meter = Meter(Sheet(files))
    for seconds in (0.05, 0.5, 5):
        meter.distribution(TIMES, "x").observe(seconds, trace=Trace("a" * 32, "b" * 16))
    assert read_exemplars(files) == []
    for who in "abcd":
        meter.number(COUNTER, who).add()
    got = samples(render(ALL, [read(files)]))
    assert (got["t_seconds_count", "x"], got["c_total", "d"]) == (3, 1)


def test_histograms_have_the_thresholds_among_their_bounds() -> None:
    assert {0.5, 1, 600} <= set(TTFT.buckets)
    assert {0.5, 1, 5400} <= set(DURATION.buckets) & set(TTFC.buckets)
    assert {0.05, 0.1, 0.5, 1} <= set(ITL.buckets)
    for family in FAMILIES:
        assert list(family.buckets) == sorted(set(family.buckets))
        assert bool(family.buckets) == (family.kind == "histogram")
        assert (family.kind == "counter") == family.name.endswith("_total")


def test_every_metric_has_a_line_and_a_type() -> None:
    metrics = Metrics(Meter(Sheet(make_files())))
    metrics.usage("m", Usage(prompt=1, completion=2, reasoning=1))
    text = render(FAMILIES, [])
    for family in FAMILIES:
        assert f"# TYPE {family.name} {family.kind}" in text
        assert family.name.startswith("r1_")


def test_prompt_buckets() -> None:
    buckets = [prompt_bucket(tokens) for tokens in (0, 1, 2048, 2049, 8192, 32768, 32769)]
    assert buckets == ["unknown", "2k", "2k", "8k", "8k", "32k", "more"]


def test_a_logged_fault_leaves_out_its_text() -> None:
    try:
        raise ValueError("the prompt was: secret")
    except ValueError:
        record = logging.LogRecord(
            "gateway", logging.ERROR, "f", 1, "internal_error", (), sys.exc_info()
        )
    record.fields = {"request_id": "r"}
    line = JsonFormatter().format(record)
    assert "secret" not in line
    data = json.loads(line)
    assert data["fault"]["type"] == "ValueError"
    assert data["request_id"] == "r"
    assert data["event"] == "internal_error"


def test_what_libraries_quote_is_not_logged() -> None:
    formatter = JsonFormatter()
    quoting = (
        ("Exception in callback answer('secret prompt')", ()),
        ("Task exception was never retrieved\nfuture: <Task exception=X('secret')>", ()),
        ("Unclosed connection: %r", ("secret",)),
        ("%s", ("secret",)),
    )
    for message, arguments in quoting:
        record = logging.LogRecord("asyncio", logging.ERROR, "x", 1, message, arguments, None)
        line = formatter.format(record)
        assert "secret" not in line
        assert json.loads(line)["logger"] == "asyncio"
    record = logging.LogRecord("asyncio", logging.ERROR, "x", 1, quoting[1][0], (), None)
    assert json.loads(formatter.format(record))["event"] == "Task exception was never retrieved"
