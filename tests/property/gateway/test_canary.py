"""What the canary's policy promises, whatever replicas compute."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.canary.numbers import NOTHING, Numbers
from gateway.canary.policy import Finding, Standing, drift, judge, middle
from gateway.canary.told import Told, to_record, verdicts

PROMPT, ANSWER = 8, 6
TOLERANCE = 0.3

logs = st.floats(-12, -0.01)
tops = st.dictionaries(st.integers(0, 9), logs, min_size=1, max_size=5)


@st.composite
def numbers(draw: st.DrawFn) -> Numbers:
    places = draw(st.lists(tops, min_size=ANSWER, max_size=ANSWER))
    greedy = tuple(max(each, key=lambda token: each[token]) for each in places)
    return Numbers(
        tuple(draw(st.lists(logs, min_size=PROMPT, max_size=PROMPT))), greedy, tuple(places)
    )


def moved(given: Numbers, by: Sequence[float]) -> Numbers:
    """The same model on other kernels: each number a little off, the greedy tokens what follows."""
    steps = iter(by)
    prompt = tuple(value + next(steps) for value in given.prompt)
    places = [{token: value + next(steps) for token, value in each.items()} for each in given.tops]
    greedy = tuple(max(each, key=lambda token: each[token]) for each in places)
    return Numbers(prompt, greedy, tuple(places))


MOST = PROMPT + 5 * ANSWER
little = st.lists(st.floats(-0.1, 0.1), min_size=MOST, max_size=MOST)


@given(numbers())
def test_the_same_has_no_drift_and_json_keeps_it(one: Numbers) -> None:
    assert drift(one, one) == 0
    assert Numbers.load(json.loads(json.dumps(one.dump()))) == one


@given(numbers(), little)
def test_what_is_a_little_off_drifts_no_more_than_that(one: Numbers, by: list[float]) -> None:
    assert drift(one, moved(one, by)) <= 0.1 + 1e-9


@given(numbers(), st.floats(0.5, 50), st.sampled_from(("prompt", "answer")))
def test_a_shift_is_found_in_the_prompt_and_in_the_answer(
    one: Numbers, by: float, where: str
) -> None:
    other = moved(one, [-by] * PROMPT + [0.0] * MOST)
    if where == "answer":
        other = moved(one, [0.0] * PROMPT + [-by] * MOST)
    assert drift(one, other) >= min(by, 20.0) - 1e-9
    assert judge({"a": other}, one, TOLERANCE)["a"].finding == "wrong"


@given(numbers(), st.floats(1, 12))
def test_another_greedy_token_counts_by_how_sure_the_reference_was(
    one: Numbers, gap: float
) -> None:
    token = one.tokens[0]
    other = {10: 0.0, token: one.tops[0][token] - gap}
    parted = Numbers(one.prompt, (10, *one.tokens[1:]), (other, *one.tops[1:]))
    assert abs(drift(one, parted) - gap) < 1e-9
    # One that is not told at all is less likely than all that are.
    hidden = Numbers(one.prompt, parted.tokens, ({10: other[token]}, *one.tops[1:]))
    assert abs(drift(one, hidden) - gap) < 1e-9


def test_another_prompt_can_not_be_compared() -> None:
    one = Numbers((-1.0,), (1,), ({1: -0.1},))
    assert drift(one, Numbers((-1.0, -1.0), (1,), ({1: -0.1},))) == math.inf


@given(numbers(), numbers(), st.integers(0, 6), st.integers(0, 6), little)
def test_a_majority_is_believed_and_nobody_else_without_a_record(
    one: Numbers, other: Numbers, ones: int, others: int, by: list[float]
) -> None:
    # Two models that are far from each other, and neither is beside itself.
    far = min(drift(one, other), drift(other, one)) > TOLERANCE + 0.2
    answers = {f"a{i}": moved(one, by) if i % 2 else one for i in range(ones)}
    answers |= {f"b{i}": other for i in range(others)}
    found = judge(answers, None, TOLERANCE)
    assert set(found) == set(answers)
    wrong = {name[0] for name, each in found.items() if each.finding == "wrong"}
    # However it ends, it never turns against half of them or more.
    assert 2 * sum(each.finding == "wrong" for each in found.values()) < max(1, len(answers))
    if far and ones > others and ones + others > 1:
        assert wrong == ({"b"} if others else set())
    if far and ones == others:
        assert {each.finding for each in found.values()} <= {"disputed"}


@given(st.lists(numbers(), min_size=1, max_size=5), st.randoms())
def test_who_is_in_the_middle_does_not_depend_on_the_order(
    given_numbers: list[Numbers], rng: object
) -> None:
    answers = {str(i): each for i, each in enumerate(given_numbers)}
    assert middle(answers, TOLERANCE) == middle(dict(reversed(answers.items())), TOLERANCE)


@given(st.dictionaries(st.text(max_size=3), numbers(), max_size=5), numbers())
def test_with_a_record_each_is_judged_by_itself(
    answers: dict[str, Numbers], record: Numbers
) -> None:
    found = judge(answers, record, TOLERANCE)
    for name, each in answers.items():
        assert found[name] == judge({name: each}, record, TOLERANCE)[name]
        assert found[name].finding in ("right", "wrong")


findings: st.SearchStrategy[list[Finding]] = st.lists(
    st.sampled_from(("right", "wrong", "disputed", "alone")), max_size=30
)


@given(findings, st.integers(1, 4))
def test_it_takes_so_many_rounds_in_a_row_to_turn(seen: list[Finding], rounds: int) -> None:
    standing = Standing()
    told = [each for each in seen if each in ("right", "wrong")]
    for finding in seen:
        standing = standing.after(finding, rounds)
        assert standing.against < rounds
    ejected, row = False, 0
    for each in told:
        row = row + 1 if (each == "wrong") != ejected else 0
        if row == rounds:
            ejected, row = not ejected, 0
    assert (standing.ejected, standing.against) == (ejected, row)
    if "wrong" not in told:
        assert not standing.ejected
    for _ in range(rounds):
        standing = standing.after("right", rounds)
    assert standing == Standing()


@given(st.dictionaries(st.text(max_size=3), numbers(), max_size=4), numbers())
def test_one_without_numbers_is_wrong_where_another_of_its_kind_is_right(
    others: dict[str, Numbers], one: Numbers
) -> None:
    told = {url: Told("v", each) for url, each in others.items()}
    told |= {"broken": Told("v", NOTHING, "no_numbers"), "away": Told("v", None, "timeout")}
    found = verdicts(told, {"v": one}, TOLERANCE)
    assert found["broken"].finding == "wrong"
    assert "away" not in found
    # One of another kind is compared with nobody here.
    assert verdicts({"x": Told("w", one)}, {"v": one}, TOLERANCE)["x"].finding == "alone"
    assert verdicts({"broken": Told("v", NOTHING)}, {}, TOLERANCE) == {}
    new, why = to_record(told, TOLERANCE)
    assert (new, why is not None) == ({}, True)


@given(numbers(), little, st.integers(1, 4))
def test_what_is_recorded_is_what_all_agree_on(one: Numbers, by: list[float], count: int) -> None:
    told = {str(i): Told("v", moved(one, by) if i else one) for i in range(count)}
    new, why = to_record(told, TOLERANCE)
    assert why is None
    found = verdicts(told, new, TOLERANCE)
    assert {each.finding for each in found.values()} == {"right"}
