"""Which upstream is taken, and what attempts there teach."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from gateway.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamLost,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.settings import PoolSettings
from gateway.upstream.breaker import Breaker, State
from gateway.upstream.dialects.vllm import Vllm
from gateway.upstream.pool import Pool, Upstream
from gateway.upstream.visit import Visit, is_fault

SETTINGS = PoolSettings(slow_start_s=0, open_s=2, longest_open_s=8)


class World:
    """A pool with a clock that stands still until it is moved, and what its watcher heard."""

    def __init__(self, *names: str, settings: PoolSettings = SETTINGS) -> None:
        self.now = 1000.0
        self.states: dict[str, State] = {}
        self.upstreams = [self.upstream(name, settings) for name in names]
        rng = random.Random(7)
        self.pool = Pool("m", self.upstreams, settings, self, now=lambda: self.now, draw=rng.random)

    @staticmethod
    def upstream(name: str, settings: PoolSettings = SETTINGS) -> Upstream:
        return Upstream(name, f"http://{name}", "m", 1.0, None, Vllm(), breaker=Breaker(settings))

    def breaker(self, model: str, upstream: str, state: State) -> None:
        self.states[upstream] = state

    def state(self, name: str) -> State:
        return self.states[name]

    def names(self, tried: Sequence[Upstream] = ()) -> set[str]:
        return {each.name for each in self.pool.candidates(self.now, tried)}

    def visit(self, name: str) -> Visit:
        """An attempt at this one, which has to be among those that may be asked."""
        others = [each for each in self.upstreams if each.name != name]
        visit = self.pool.visit(None, others)
        assert visit.upstream.name == name
        return visit

    def fail(self, name: str, times: int = 1, error: UpstreamError | None = None) -> None:
        for _ in range(times):
            visit = self.visit(name)
            visit.failed(error or UpstreamFailed("x"))
            visit.end(worked=False)


def test_in_flight_ends_with_every_way_an_attempt_can_end() -> None:
    world = World("a")
    (a,) = world.upstreams
    errors: list[UpstreamError | None] = [
        None,
        UpstreamLost("x"),
        UpstreamRejected("x"),
        UpstreamBusy("x", status=429),
    ]
    for error in errors:
        for worked in (True, False):
            visit = world.pool.visit(b"c")
            assert a.in_flight == 1
            if error is not None:
                visit.failed(error)
            visit.end(worked=worked and error is None)
            assert a.in_flight == 0


def test_a_conversation_stays_and_other_requests_go_where_there_is_least() -> None:
    world = World("a", "b", "c")
    homes = {world.pool.visit(b"one").upstream.name for _ in range(SETTINGS.free_requests)}
    assert len(homes) == 1
    visits = [world.pool.visit(None) for _ in range(60)]
    loads = [each.in_flight for each in world.upstreams]
    assert sum(loads) == 60 + SETTINGS.free_requests
    assert max(loads) - min(loads) <= 6
    for visit in visits:
        visit.end(worked=True)
    # Full by now: the conversation goes on elsewhere.
    assert world.pool.visit(b"one").upstream.name not in homes


def test_without_affinity_a_conversation_goes_by_load() -> None:
    settings = SETTINGS.model_copy(update={"affinity": False})
    world = World("a", "b", settings=settings)
    assert {world.pool.visit(b"one").upstream.name for _ in range(4)} == {"a", "b"}


def test_a_new_one_draws_its_conversations_in_bit_by_bit() -> None:
    # So much room that no load decides.
    settings = PoolSettings(slow_start_s=10, free_requests=1000)
    world = World("a", "b", settings=settings)
    b = world.upstreams[1]
    b.since = world.now

    def moved() -> set[int]:
        homes = [world.pool.visit(str(number).encode()) for number in range(400)]
        for visit in homes:
            visit.end(worked=True)
        return {number for number, visit in enumerate(homes) if visit.upstream is b}

    at_first = moved()
    world.now += 5
    later = moved()
    world.now += 5
    whole = moved()
    assert at_first < later < whole
    assert len(at_first) < 80
    assert 150 < len(whole) < 250


def test_one_that_fails_is_left_alone_then_tried_once_then_back() -> None:
    world = World("a", "b")
    assert world.states == {"a": State.CLOSED, "b": State.CLOSED}
    world.fail("a", 3)
    assert world.names() == {"b"}
    assert world.state("a") is State.OPEN
    world.now += SETTINGS.open_s
    assert world.names() == {"a", "b"}
    probe = world.visit("a")
    assert world.state("a") is State.HALF_OPEN
    assert world.names() == {"b"}
    # The first event of a long answer is enough.
    probe.answering()
    assert world.state("a") is State.CLOSED
    assert world.names() == {"a", "b"}
    assert world.upstreams[0].since == world.now
    probe.end(worked=True)


def test_a_probe_whose_caller_leaves_gives_its_place_back() -> None:
    world = World("a", "b")
    world.fail("a", 3)
    world.now += SETTINGS.open_s
    world.visit("a").end(worked=False)
    assert world.state("a") is State.OPEN
    assert world.names() == {"a", "b"}


def test_the_last_one_is_never_left_alone() -> None:
    world = World("a", "b", "c")
    for name in ("a", "b"):
        world.fail(name, 3)
    world.fail("c", 30)
    assert world.names() == {"c"}
    assert world.state("c") is State.CLOSED
    # Another whose pause is over has not shown yet that it can do better.
    world.now += SETTINGS.longest_open_s
    world.fail("c", 30)
    assert world.state("c") is State.CLOSED
    alone = World("a")
    alone.fail("a", 30)
    assert alone.state("a") is State.CLOSED


def test_where_all_are_ill_all_are_asked() -> None:
    world = World("a", "b", "c")
    a, b, c = world.upstreams
    world.fail("a", 3)
    b.up = c.up = False
    # One that only failed is still likelier than one whose health says no.
    assert world.names() == {"a"}
    a.up = False
    assert world.names() == {"a", "b", "c"}
    assert world.names([a]) == {"b", "c"}
    assert world.names([a, b, c]) == {"a", "b", "c"}
    b.draining = True
    assert world.names() == {"a", "c"}


def test_one_that_fails_now_and_then_stands_out_among_healthy_ones() -> None:
    world = World("a", "b")
    for _ in range(12):
        world.visit("b").end(worked=True)
        world.fail("a")
        if world.state("a") is State.CLOSED:
            world.visit("a").end(worked=True)
        else:
            break
    assert world.state("a") is State.OPEN
    # Back again it begins anew: one more failure is no reason.
    world.now += SETTINGS.open_s
    world.visit("a").end(worked=True)
    world.fail("a")
    assert world.state("a") is State.CLOSED
    # Alike, nobody does.
    alike = World("a", "b")
    for _ in range(30):
        for name in ("a", "b"):
            alike.fail(name)
            alike.visit(name).end(worked=True)
    assert set(alike.states.values()) == {State.CLOSED}


def test_one_that_asks_for_patience_is_spared_so_long_but_not_blamed() -> None:
    world = World("a", "b")
    b = world.upstreams[1]
    world.fail("a", 5, UpstreamBusy("x", status=429, retry_after_s=5.0))
    assert world.state("a") is State.CLOSED
    assert world.names() == {"b"}
    assert not world.pool.others([b])
    world.now += 5.0
    assert world.names() == {"a", "b"}
    assert world.pool.others([b])
    # A very long wish, or none: bounds of our own.
    world.fail("a", 1, UpstreamBusy("x", status=503, retry_after_s=3600.0))
    world.now += SETTINGS.longest_open_s
    assert world.names() == {"a", "b"}
    world.fail("a", 1, UpstreamBusy("x", status=429))
    assert world.names() == {"b"}
    world.now += SETTINGS.busy_s
    assert world.names() == {"a", "b"}


def test_spares_are_asked_only_while_no_replica_is_usable() -> None:
    world = World("a", "b", "spare")
    a, b, spare = world.upstreams
    spare.spare = True
    assert world.names() == {"a", "b"}
    assert world.names([a]) == {"b"}
    assert world.names([a, b]) == {"spare"}
    a.up = False
    b.draining = True
    assert world.names() == {"spare"}
    assert world.pool.others([])
    assert not world.pool.others([spare])


def test_replicas_come_and_go_and_answers_of_the_gone_end_quietly() -> None:
    world = World("spare")
    replica = world.upstream("replica-1")
    world.pool.replace([replica])
    assert world.states["replica-1"] is State.CLOSED
    visits = [world.pool.visit(None, world.upstreams) for _ in range(SETTINGS.failures)]
    world.pool.replace([])
    del world.states["replica-1"]
    for visit in visits:
        visit.failed(UpstreamLost("x"))
        visit.end(worked=False)
    assert replica.in_flight == 0
    assert "replica-1" not in world.states
    assert world.names() == {"spare"}


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (UpstreamUnavailable("x"), True),
        (UpstreamTimeout("x"), True),
        (UpstreamFailed("x"), True),
        (UpstreamLost("x"), True),
        (UpstreamBusy("x", status=503), True),
        (UpstreamBusy("x", status=503, retry_after_s=1.0), False),
        (UpstreamBusy("x", status=429), False),
        (UpstreamRejected("x"), False),
    ],
)
def test_what_speaks_against_an_upstream(error: UpstreamError, fault: bool) -> None:
    assert is_fault(error) is fault


def test_one_that_is_ejected_is_asked_for_nothing_whoever_else_is_there() -> None:
    world = World("a", "b", "spare")
    a, b, spare = world.upstreams
    spare.spare = True
    a.ejected = True
    assert world.names() == {"b"}
    # An attempt would tell more than a refusal, but not of this one, nor of who leads to it.
    b.up = False
    assert world.names() == {"b"}
    b.ejected = True
    assert world.names() == set()
    assert not world.pool.others([])
    for continuing in (False, True):
        with pytest.raises(UpstreamUnavailable):
            world.pool.visit(None, continuing=continuing)
    a.ejected = b.ejected = False
    assert world.names() == {"a"}


def test_an_upstream_is_lost_when_it_was_found_ill_and_another_is_there() -> None:
    world = World("a", "b")
    a, b = world.upstreams
    a.up = False
    # Only hoped, so far.
    assert not world.pool.lost(a)
    a.looked_at = True
    assert world.pool.lost(a)
    assert not world.pool.lost(b)
    b.up = False
    assert not world.pool.lost(a)


def test_an_answer_goes_on_only_where_the_weights_may_be_the_same() -> None:
    world = World("a", "b", "c", "d")
    a, b, c, d = world.upstreams
    # While a model changes, replicas of both are registered. `d` doesn't tell.
    a.weights, b.weights, c.weights = "old", "new", "old"

    def who(tried: Sequence[Upstream]) -> set[str]:
        found = world.pool.candidates(world.now, tried, continuing=True)
        return {each.name for each in found}

    assert who([a]) == {"c", "d"}
    assert who([b]) == {"d"}
    assert who([d]) == {"a", "b", "c"}
    assert who([a, d]) == {"c"}
    # One that has not begun may be asked anywhere.
    assert world.names([a]) == {"b", "c", "d"}
    c.draining = d.draining = True
    assert who([a]) == {"a"}
