"""Figures of calls, and gates on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.figures import figures, percentile
from loadtests.bench.page import page
from loadtests.bench.report import About, Report
from loadtests.bench.slo import NOTHING_FAILS, Slo, judge
from loadtests.bench.timeline import Timeline
from loadtests.client.call import CUT, DONE, LEFT, Call, Said
from loadtests.users.kinds import KINDS

SECONDS = st.floats(0, 100)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    due, late, wait = draw(SECONDS), draw(st.floats(0, 1)), draw(SECONDS)
    gaps = draw(st.lists(st.floats(0, 2), max_size=6))
    call = Call(draw(st.sampled_from([*KINDS])), due, due + late)
    call.first = call.began + wait
    call.gaps = gaps
    call.ended = call.first + sum(gaps)
    call.ending = draw(st.sampled_from([DONE, CUT, "http 500"]))
    call.right = draw(st.sampled_from([None, True, False]))
    call.said = Said(prompt_tokens=draw(st.integers(0, 99)), completion_tokens=len(gaps) + 1)
    return call


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0, 100))
def test_percentiles_are_numpys(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == pytest.approx(np.percentile(values, percent), abs=1e-6)


@given(st.lists(calls(), max_size=20))
def test_every_call_is_counted_once(load: list[Call]) -> None:
    found = figures(load, {"ttft": 500})
    kinds = found["users"]
    assert found["calls"] == len(load) == sum(each["calls"] for each in kinds.values())
    assert found["failed"] == sum(found["errors"].values())
    assert found["failed"] == sum(each["failed"] for each in kinds.values())
    orderly = [each for name, each in kinds.items() if not KINDS[name].unruly]
    assert found["completed"] == sum(each["completed"] for each in orderly)
    assert 0 <= found["request_goodput"] <= found["request_throughput"]
    assert found["p50_ttft_ms"] <= found["p99_ttft_ms"] if found["completed"] else True


@given(st.lists(calls(), max_size=20))
def test_the_timeline_loses_nothing(load: list[Call]) -> None:
    line = Timeline.of(load)
    events = sum(1 + len(each.gaps) for each in load)
    assert sum(line.tokens) * line.width == pytest.approx(events)
    assert sum(line.completed) * line.width == pytest.approx(sum(e.completed for e in load))
    flight = sum(each.e2el for each in load)
    assert sum(line.running) * line.width**2 == pytest.approx(flight, rel=1e-6, abs=1e-6)


def call(kind: str = "chat", ttft: float = 0.1, gaps: tuple[float, ...] = (0.02,) * 9) -> Call:
    made = Call(kind, 10.0, 10.0, ending=DONE, gaps=list(gaps))
    made.first = 10.0 + ttft
    made.ended = made.first + sum(gaps)
    made.said = Said(prompt_tokens=20, completion_tokens=len(gaps) + 1)
    return made


def test_figures_by_hand() -> None:
    found = figures([call(), call(ttft=0.3)], {"ttft": 200, "tpot": 30})
    assert found["duration"] == pytest.approx(0.48)
    assert found["request_throughput"] == pytest.approx(2 / 0.48)
    assert found["request_goodput"] == pytest.approx(1 / 0.48)
    assert found["output_throughput"] == pytest.approx(20 / 0.48)
    assert found["median_ttft_ms"] == pytest.approx(200)
    assert found["mean_tpot_ms"] == pytest.approx(20)
    assert found["std_ttft_ms"] == pytest.approx(100)
    assert found["p99_itl_ms"] == pytest.approx(20)
    assert found["median_e2el_ms"] == pytest.approx(380)
    assert found["max_output_tokens_per_s"] == 20
    assert found["max_concurrent_requests"] == 2


def test_an_open_load_counts_from_when_a_call_was_due() -> None:
    late = call()
    late.due -= 5.0
    assert late.ttft == pytest.approx(5.1)
    assert late.e2el == pytest.approx(5.28)
    assert late.tpot == pytest.approx(0.02)
    assert figures([late])["max_client_lateness_ms"] == pytest.approx(5000)


def test_who_misbehaves_is_told_apart() -> None:
    slow = call("slow", ttft=50.0)
    found = figures([call(), slow])
    assert found["p99_ttft_ms"] == pytest.approx(100)
    assert found["users"]["slow"]["p99_ttft_ms"] == pytest.approx(50_000)
    slow.ending = CUT
    assert figures([call(), slow])["failed"] == 1
    slow.ending, slow.expected = LEFT, True
    assert figures([call(), slow])["failed"] == 0


def slo(**given: Any) -> Slo:
    return Slo.of(given)


def test_gates_are_kept_and_missed() -> None:
    wrong = call()
    wrong.right = False
    found = figures([call(), call("classification"), wrong], {"ttft": 200})
    kept = judge(
        slo(
            goodput={"ttft": 200},
            most={"p99_ttft_ms": 200, "failed": 0, "wrong_rate": 1},
            least={"request_goodput": 1},
            users={"classification": {"most": {"p99_e2el_ms": 500}}},
        ),
        found,
    )
    assert kept.kept
    assert "MISSED" not in kept.table()
    missed = judge(slo(most={"p99_ttft_ms": 50, "failed": 0, "wrong_rate": 0.5}), found)
    assert not missed.kept
    lines = missed.table().splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["MISSED", "kept", "MISSED"]
    assert "≤ 50" in lines[1]


def test_what_was_not_measured_was_not_kept() -> None:
    failed = call()
    failed.ending = CUT
    for load in ([], [failed]):
        assert not judge(slo(most={"p99_ttft_ms": 1e9}), figures(load)).kept
    assert not judge(slo(users={"chat": {"most": {"p99_ttft_ms": 1e9}}}), figures([])).kept
    assert not judge(slo(most={"wrong_rate": 1}), figures([call()])).kept
    assert not judge(NOTHING_FAILS, figures([])).kept
    assert not judge(NOTHING_FAILS, figures([failed])).kept
    assert judge(NOTHING_FAILS, figures([call()])).kept


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"most": {"p99_ttft": 1}}, "most: there is no figure 'p99_ttft'; is it p99_ttft_ms"),
        ({"least": {"request_goodput": 1}}, "goodput: {ttft: 1000}"),
        ({"goodput": {"itl": 3}}, "goodput.itl: there are ttft"),
        ({"users": {"nobody": {}}}, "users.nobody"),
        ({"users": {"chat": {"most": {"x": 1}}}}, "users.chat.most: there is no figure 'x'"),
        ({"mots": {}}, "mots"),
        ({"most": {"failed": "few"}}, "most.failed"),
        ([1], "the file"),
    ],
)
def test_a_wrong_slo_is_named(given: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Slo.of(given)


def test_a_file_is_read_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "slo.yaml"
    path.write_text("most: {failed_rate: 0.01}\n")
    assert Slo.load(path).most == {"failed_rate": 0.01}
    path.write_text("most: [")
    with pytest.raises(ValueError, match="no YAML"):
        Slo.load(path)


ABOUT = About("http://server/v1", "a <model>", "2026-01-01", "closed", users=2)


def test_a_report_is_written_whole(tmp_path: Path) -> None:
    failed = call()
    failed.ending, failed.message = CUT, "<cut>"
    samples = {"r1_batch_window": [(0.0, 4.0), (1.0, 32.0)]}
    report = Report.of(ABOUT, [call(), failed], NOTHING_FAILS, samples)
    report.write(tmp_path)
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["completed"] == data["failed"] == 1
    assert data["errors"] == {"cut": 1}
    assert data["kept"] is False
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 2
    html = (tmp_path / "report.html").read_text()
    assert html.count("<svg") == 3
    assert "http-equiv" not in html
    assert "src=" not in html
    assert "a &lt;model&gt;" in html
    assert "1 × cut" in report.text()
    assert "MISSED" in report.text()


def test_a_page_without_plots_says_why() -> None:
    report = Report.of(ABOUT, [call()], NOTHING_FAILS)
    assert "no matplotlib" in page(report.data, report.judgement, [], "no matplotlib")


def test_a_load_of_nothing_has_a_report_too(tmp_path: Path) -> None:
    report = Report.of(ABOUT, [], NOTHING_FAILS)
    report.write(tmp_path)
    assert "0 calls" in report.text()
