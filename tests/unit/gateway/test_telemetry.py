"""Sheets, their sum as Prometheus' text, and logs."""

from __future__ import annotations

import json
import logging
import os
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.protocol.usage import Usage
from gateway.telemetry import sheet as sheets
from gateway.telemetry.families import Family, Meter, render
from gateway.telemetry.logs import JsonFormatter
from gateway.telemetry.metrics import FAMILIES, Metrics, prompt_bucket
from gateway.telemetry.sheet import Cell, Sheet, make_files, read

COUNTER = Family("c_total", "counter", "Counts.", ("who",))
GAUGE = Family("g", "gauge", "Is.", ())
WORST = Family("w", "gauge", "Is worst.", (), across="max")
LEAST = Family("l", "gauge", "Is least.", (), across="min")
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
    assert got[("t_seconds_bucket", "x,1")] == 4
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


def test_a_full_sheet_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "CAPACITY", 2)
    sheet = Sheet(make_files())
    sheet.place(Cell("a", "", ()))
    sheet.place(Cell("b", "", ()))
    with pytest.raises(RuntimeError, match="not bounded"):
        sheet.place(Cell("c", "", ()))


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
