"""Who may wait, and how long the others are told to stay away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.hopeless import Pace, back_after
from gateway.batching.shares import Shares

seconds = st.floats(0, 1e4)


@given(seconds, seconds)
def test_who_would_wait_too_long_comes_back_when_it_may_wait(wait_s: float, bound_s: float) -> None:
    back_s = back_after(wait_s, bound_s)
    if wait_s > bound_s:
        assert back_s is not None
    if back_s is not None:
        assert 0 < back_s <= wait_s
        # By then the queue is shorter by what was served.
        assert back_after(wait_s - back_s - 1e-9 * wait_s, bound_s) is None
        assert wait_s - back_s <= bound_s


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=300), st.integers(1, 500))
def test_a_queue_moves_as_fast_as_places_come_free(kept: list[float], places: int) -> None:
    pace = Pace()
    assert pace.wait_s(3, places) is None
    for each in kept:
        pace.left(each)
    waits = [pace.wait_s(ahead, places) for ahead in range(3)]
    assert None not in waits
    first, second, _ = (each or 0.0 for each in waits)
    # Of all places one comes free in a part of the time that each is kept.
    assert min(kept) * 0.999 <= first * places <= max(kept) * 1.001
    assert first < second


def test_visits_of_long_ago_are_forgotten() -> None:
    pace = Pace()
    for _ in range(1000):
        pace.left(2.0)
    for _ in range(1000):
        pace.left(1.0)
    wait_s = pace.wait_s(7, 4)
    assert wait_s is not None
    assert abs(wait_s - 2.0) < 0.01


@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(1, 40), min_size=1),
    st.integers(1, 64),
)
def test_a_key_has_its_share_and_what_the_others_leave(inside: dict[str, int], places: int) -> None:
    shares = Shares()
    for key, count in inside.items():
        for _ in range(count):
            shares.enter(key)
    for key in inside:
        most = shares.most(key, places)
        share = places / len(inside)
        assert share <= most <= places
        others = [min(count, share) for other, count in inside.items() if other != key]
        assert most == max(share, places - sum(others))
