"""Leaving an upstream alone, and coming back to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.settings import PoolSettings
from gateway.upstream.breaker import Breaker, State, Ticket
from gateway.upstream.outlier import Record, stands_out

DRAWS = st.floats(0, 1, exclude_max=True)
SETTINGS = PoolSettings(failures=3, open_s=1, longest_open_s=8)


class Life(RuleBasedStateMachine):
    """Attempts that begin and end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(SETTINGS)
        self.now = 100.0
        self.under_way: list[Ticket] = []
        self.opened_at = 0.0

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.admits(self.now))
    @rule()
    def begin(self) -> None:
        was = self.breaker.state
        ticket = self.breaker.enter(self.now)
        self.under_way.append(ticket)
        assert ticket.probe == (was is not State.CLOSED)
        if ticket.probe:
            assert self.breaker.state is State.HALF_OPEN
            assert not self.breaker.admits(self.now + 1000)

    @rule()
    def begin_as_there_is_no_other(self) -> None:
        self.under_way.append(self.breaker.enter(self.now))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 1000), draw=DRAWS, how=st.sampled_from(["worked", "failed", "left"]))
    def end(self, which: int, draw: float, how: str) -> None:
        ticket = self.under_way.pop(which % len(self.under_way))
        was = self.breaker.state
        if how == "worked":
            closes = self.breaker.worked(ticket, self.now)
            assert closes == (was is not State.CLOSED and self.breaker.state is State.CLOSED)
        elif how == "left":
            self.breaker.left(ticket)
            assert (was is State.CLOSED) == (self.breaker.state is State.CLOSED)
        elif self.breaker.failed(ticket, self.now, draw):
            self.opened_at = self.now
            assert self.breaker.state is State.OPEN

    @invariant()
    def half_open_means_that_a_probe_is_under_way(self) -> None:
        if self.breaker.state is State.HALF_OPEN:
            assert any(ticket.probe for ticket in self.under_way)

    @invariant()
    def no_pause_is_for_ever(self) -> None:
        if self.breaker.state is State.OPEN:
            assert self.breaker.admits(self.opened_at + SETTINGS.longest_open_s)


TestLife = Life.TestCase


def fail(breaker: Breaker, now: float, draw: float = 0.0) -> bool:
    return breaker.failed(breaker.enter(now), now, draw)


@given(DRAWS)
def test_pauses_double_with_jitter_up_to_the_longest(draw: float) -> None:
    breaker, now = Breaker(SETTINGS), 50.0
    assert [fail(breaker, now, draw) for _ in range(3)] == [False, False, True]
    for pause in (1, 2, 4, 8, 8):
        actual = pause * (1 - draw / 2)
        assert not breaker.admits(now + actual - 0.01)
        now += actual + 0.01
        assert breaker.admits(now)
        assert fail(breaker, now, draw)


def test_a_success_between_failures_begins_the_count_again() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(10):
        assert not fail(breaker, 1.0)
        assert not fail(breaker, 1.0)
        assert not breaker.worked(breaker.enter(1.0), 1.0)
    assert breaker.state is State.CLOSED


def test_who_comes_back_and_fails_soon_is_left_alone_for_longer() -> None:
    breaker = Breaker(SETTINGS)
    for now, pause in ((10.0, 1), (12.0, 2), (100.0, 1)):
        for _ in range(3):
            fail(breaker, now)
        assert not breaker.admits(now + pause - 0.01)
        assert breaker.admits(now + pause)
        assert breaker.worked(breaker.enter(now + pause), now + pause)


def test_what_began_before_the_opening_tells_nothing() -> None:
    breaker = Breaker(SETTINGS)
    early = breaker.enter(1.0)
    for _ in range(3):
        fail(breaker, 1.0)
    assert not breaker.worked(early, 1.5)
    assert not breaker.admits(1.5)
    # An attempt that was made all the same, as there was no other upstream, does tell.
    assert breaker.worked(breaker.enter(1.5), 1.5)
    assert breaker.state is State.CLOSED


def test_the_last_one_stays() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(50):
        assert not breaker.failed(breaker.enter(1.0), 1.0, 0.5, may_open=False)
    assert breaker.state is State.CLOSED
    assert breaker.failed(breaker.enter(1.0), 1.0, 0.5)


def record(attempts: int, failures: int) -> Record:
    made = Record()
    for number in range(attempts):
        made.add(5.0, failed=number < failures)
    return made


def test_an_outlier_is_one_that_fails_more_than_the_others() -> None:
    well, ill = record(100, 2), record(20, 10)
    assert stands_out(ill, [well, well], 0.3)
    assert not stands_out(well, [ill, well], 0.3)
    # All fail alike: the cause is not in one of them.
    assert not stands_out(ill, [ill, record(50, 30)], 0.3)
    # Too little is known, of it or of the others.
    assert not stands_out(record(5, 5), [well], 0.3)
    assert not stands_out(ill, [], 0.3)
    assert not stands_out(ill, [Record()], 0.3)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.booleans()), min_size=1, max_size=50),
    st.floats(0.01, 1),
)
def test_records_are_shares_and_fade(events: list[tuple[float, bool]], gap: float) -> None:
    made, now = Record(), 0.0
    for pause, failed in events:
        now += pause
        made.add(now, failed=failed)
        assert 0 <= made.share <= 1
        assert 1 <= made.attempts <= len(events)
    assert not stands_out(made, [made, made], gap)


def test_the_old_counts_half_after_ten_seconds() -> None:
    made = record(10, 10)
    made.add(15.0, failed=False)
    assert made.attempts == pytest.approx(6)
    assert made.share == pytest.approx(5 / 6)
