"""What a fault cost, and what the table makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtests.chaos.outcome import Outcome, lost_tokens, outcome
from loadtests.chaos.table import BACK_S, Row, table, verdict
from loadtests.steady.answers import Answer
from loadtests.steady.calls import CUT, LATE, Call, Question
from loadtests.steady.traffic import Load, Traffic
from loadtests.streams import Target

STREAM = Question("1+1?", stream=True, tokens=10)
SHORT = Question("2+2?", stream=False)
WHOLE = Answer("think", "two!!", "stop", 3, 10, 5)
FINE = Outcome(9, 0, 0, 1, 2, 0, 0.5, "–")


def traffic() -> Traffic:
    made = Traffic(Target("r1", "http://r1/v1", "m"), Load())
    made.expected = {STREAM: WHOLE, SHORT: WHOLE}
    return made


def call(question: Question = STREAM, began: float = 0.0, **values: object) -> Call:
    usual = Call(question, began, answer=replace(WHOLE), duration=1.0, ttft=0.1, gap=0.1)
    return replace(usual, **values)  # type: ignore[arg-type]


def of(*calls: Call, struck_at: float = 5.0, resumed: int | None = 0) -> Outcome:
    known = traffic()
    return outcome(calls, known.expected, known.faults, struck_at=struck_at, resumed=resumed)


def test_undisturbed() -> None:
    seen = of(call(), call(began=6.0, attempts=1), resumed=None)
    assert seen == Outcome(2, 0, 0, 0, None, 0, 0.0, "–")
    assert seen.good
    assert not of().good


def test_failures_and_what_was_lost_with_them() -> None:
    cut = call(began=5.5, ending=CUT, answer=Answer("think", ""), attempts=2)
    late = call(SHORT, began=6.0, ending=LATE, answer=Answer(), duration=4.0)
    seen = of(call(), cut, late)
    assert (seen.calls, seen.failed, seen.wrong, seen.retried) == (3, 2, 0, 1)
    assert seen.lost_tokens == 5 + 10
    # The last failure was told 10 s after the load's beginning, 5 s after the fault's.
    assert seen.recovery_s == pytest.approx(5.0)
    assert seen.worst == "1 × cut, 1 × time limit"
    assert not seen.good


def test_an_answer_that_looks_whole_and_is_not() -> None:
    doubled = call(began=5.0, answer=replace(WHOLE, content="two!!two!!"))
    seen = of(call(), doubled)
    assert (seen.failed, seen.wrong, seen.lost_tokens) == (0, 1, 0)
    assert seen.worst == "1 × another answer"


@pytest.mark.parametrize(
    ("disturbed", "recovery_s"),
    [
        # A pause in a stream that went on; one that nobody notices; a late first token.
        (call(began=4.5, gap=3.0, gap_end=4.0, duration=6.0), 3.5),
        (call(began=4.5, gap=0.9, gap_end=1.5, duration=2.0), 0.0),
        (call(began=5.0, ttft=2.0, duration=3.0), 2.0),
        # A long wait for a short answer.
        (call(SHORT, began=5.0, ttft=None, gap=0.0, duration=7.0), 7.0),
        # What was over before.
        (call(began=1.0, gap=3.0, gap_end=3.5, duration=3.9), 0.0),
    ],
)
def test_recovery_lasts_until_the_last_who_noticed(disturbed: Call, recovery_s: float) -> None:
    calm = [call(disturbed.question, began) for began in (0.0, 1.0, 2.0)]
    assert of(*calm, disturbed).recovery_s == pytest.approx(recovery_s)


def test_lost_tokens_go_by_characters() -> None:
    assert lost_tokens(Answer(), WHOLE) == 10
    assert lost_tokens(Answer("think", "two!!"), WHOLE) == 0
    assert lost_tokens(Answer("th", ""), WHOLE) == 8
    assert lost_tokens(Answer(), Answer()) == 0


def row(seen: Outcome | str, *, system: str = "r1", spares: bool = True) -> Row:
    return Row("engine killed", 3.0, spares, system, "streams", seen)


@pytest.mark.parametrize(
    ("one", "missed"),
    [
        (row(FINE), None),
        (row(replace(FINE, failed=2)), "2 calls failed"),
        (row(replace(FINE, failed=2), spares=False), None),
        (row(replace(FINE, wrong=1), spares=False), "1 answers looked whole and were not"),
        (row(replace(FINE, recovery_s=3.0 + BACK_S + 0.1)), "as before only after 13.1 s"),
        (row(replace(FINE, calls=0)), "nobody asked"),
    ],
)
def test_what_is_asked_of_r1(one: Row, missed: str | None) -> None:
    good, lines = verdict([one])
    assert good == (missed is None)
    if missed is None:
        assert lines == ["r1 reached all that is asked of it."]
    else:
        assert lines == [f"missed: engine killed, streams: {missed}"]


def test_nothing_is_asked_of_others_and_what_is_missing_is_told() -> None:
    other = row(replace(FINE, failed=9), system="LiteLLM")
    absent = row("not installed", system="LiteLLM")
    good, lines = verdict([row(FINE), other, absent])
    assert good
    assert lines[1:] == ["engine killed, LiteLLM: not tried: not installed"]
    # Where r1 itself could not be tried, nothing was shown.
    assert verdict([row("needs root")]) == (
        False,
        ["engine killed, r1: not tried: needs root"],
    )


def test_the_table() -> None:
    head, rule, first, second = table([row(FINE), row("needs root")]).splitlines()
    assert first == "| engine killed | 3 | r1 | streams | 9 | 0 | 0 | 1 | 2 | 0 | 0.5 | – |"
    assert second.endswith("| – | needs root |")
    assert len({each.count("|") for each in (head, rule, first, second)}) == 1
