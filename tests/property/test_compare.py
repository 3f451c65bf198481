"""Orders of rounds and summaries, whatever was measured."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from loadtests.compare.samples import Figure, Summary, order, standing

SPEED = Figure("calls", "calls/s", "more")
values = st.lists(st.floats(0, 1e9), min_size=1, max_size=9)
servers = st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True)


@given(servers, st.integers(0, 100))
def test_each_server_has_one_turn_a_round(names: list[str], number: int) -> None:
    assert Counter(order(names, number)) == Counter(names)


@given(servers)
def test_each_server_begins_and_ends_as_often_as_any_other(names: list[str]) -> None:
    rounds = [order(names, number) for number in range(2 * len(names))]
    assert set(Counter(each[0] for each in rounds).values()) == {2}
    assert set(Counter(each[-1] for each in rounds).values()) == {2}


@given(values)
def test_a_median_lies_in_its_range(found: list[float]) -> None:
    told = Summary.of(found)
    assert told.low <= told.median <= told.high


@given(values, values)
def test_who_is_ahead_has_the_other_behind(ours: list[float], theirs: list[float]) -> None:
    first, second = Summary.of(ours), Summary.of(theirs)
    opposite = {"ahead": "behind", "behind": "ahead", "level": "level"}
    assert standing(second, first, SPEED) == opposite[standing(first, second, SPEED)]
