"""The queue in front of a model: nobody is lost, and everybody has a fair turn."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.terms import Priority
from gateway.batching.queue import Entry, FairQueue
from gateway.batching.rate import Rate
from gateway.batching.shares import Shares

PRIORITIES: st.SearchStrategy[Priority] = st.sampled_from(("high", "normal", "low"))
ENTRIES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), PRIORITIES))


def entry(
    tenant: str = "a",
    key: str = "x",
    priority: Priority = "normal",
    came: float = 0.0,
    what: Any = None,
    **more: Any,
) -> Entry[Any]:
    return Entry(tenant, tenant + key, priority, came, what, **more)


def anybody(entry: Entry[Any]) -> bool:
    return True


def take(queue: FairQueue[Any], now: float = 0.0) -> Entry[Any]:
    taken = queue.take(now, anybody)
    assert taken is not None
    return taken


@given(ENTRIES, st.randoms(use_true_random=False))
def test_each_entry_comes_out_once_or_is_removed_once(
    asked: list[tuple[str, str, Priority]], random: Any
) -> None:
    queue: FairQueue[int] = FairQueue(10.0)
    inside = []
    for number, (tenant, key, priority) in enumerate(asked):
        made = entry(tenant, key, priority, number, number, urgent=random.random() < 0.1)
        queue.add(made)
        inside.append(made)
    left = []
    for made in inside:
        if random.random() < 0.3:
            assert queue.remove(made)
            assert not queue.remove(made)
        else:
            left.append(made)
    assert len(queue) == len(left)
    assert {id(each) for each in queue} == {id(each) for each in left}
    out = [take(queue, 100.0) for _ in left]
    assert {id(each) for each in out} == {id(each) for each in left}
    assert queue.take(0.0, anybody) is None
    assert len(queue) == 0


@given(ENTRIES)
def test_a_key_keeps_the_order_of_its_requests(asked: list[tuple[str, str, Priority]]) -> None:
    queue: FairQueue[int] = FairQueue(10.0)
    for number, (tenant, key, priority) in enumerate(asked):
        queue.add(entry(tenant, key, priority, 0.0, number))
    last: dict[str, int] = {}
    while taken := queue.take(0.0, anybody):
        assert last.get(taken.key, -1) < taken.what
        last[taken.key] = taken.what


@given(st.integers(1, 200), st.integers(1, 20))
def test_a_flood_delays_nobody_else(flood: int, others: int) -> None:
    queue: FairQueue[Any] = FairQueue(10.0)
    for _ in range(flood):
        queue.add(entry("flood"))
    take(queue)
    for number in range(others):
        queue.add(entry(f"other {number}"))
    served = [take(queue).tenant for _ in range(min(flood - 1, others) + others)]
    # In turn with each of them, the flood has at most one.
    assert served[: others + 1].count("flood") <= 1
    assert len({*served} - {"flood"}) == others


@given(st.integers(10, 100), st.sampled_from((("a", "y"), ("b", "x"))))
def test_having_waited_gives_a_flood_no_more_than_one_turn(
    flood: int, other: tuple[str, str]
) -> None:
    queue: FairQueue[Any] = FairQueue(10.0)
    for _ in range(flood):
        queue.add(entry("a", "x", came=0.0))
    take(queue, 60.0)
    new = entry(*other, came=60.0)
    queue.add(new)
    assert new in (take(queue, 60.0), take(queue, 60.0))


@given(st.integers(2, 50), st.integers(2, 50))
def test_keys_share_what_their_tenant_has(one: int, other: int) -> None:
    queue: FairQueue[Any] = FairQueue(10.0)
    for _ in range(one):
        queue.add(entry("a", "x"))
    for _ in range(other):
        queue.add(entry("a", "y"))
    for _ in range(one + other):
        queue.add(entry("b", "x"))
    both = 2 * min(one, other)
    served = Counter(take(queue).key for _ in range(2 * both))
    assert abs(served["ax"] - served["ay"]) <= 1
    assert abs(served["bx"] - both) <= 1


def test_a_high_priority_has_more_turns_and_a_low_one_has_some() -> None:
    queue: FairQueue[Any] = FairQueue(10.0)
    ranks: tuple[Priority, ...] = ("high", "normal", "low")
    for priority in ranks:
        for _ in range(100):
            queue.add(entry(priority, priority=priority))
    served = Counter(take(queue).priority for _ in range(110))
    assert served["high"] > 1.8 * served["normal"] > 1.8 * served["low"] > 0


def test_waiting_makes_up_for_a_low_priority() -> None:
    queue: FairQueue[Any] = FairQueue(10.0)
    queue.add(entry("old", priority="low", came=0.0))
    for number in range(5):
        queue.add(entry(f"new {number}", priority="high", came=10.0))
    assert take(queue, 10.0).tenant == "old"


def test_urgent_ones_go_first() -> None:
    queue: FairQueue[Any] = FairQueue(10.0)
    queue.add(entry("a"))
    queue.add(entry("b", urgent=True))
    assert take(queue).tenant == "b"


def test_one_that_is_liked_goes_first_but_passes_nobody_for_ever() -> None:
    queue: FairQueue[str] = FairQueue(10.0)
    queue.add(entry("a", what="first"))
    for _ in range(10):
        queue.add(entry("b", what="liked"))
    order = []
    while taken := queue.take(0.0, anybody, lambda each: each.what == "liked"):
        order.append(taken.what)
    assert order[0] == "liked"
    assert order.index("first") <= 4


def test_who_may_not_is_left_where_it_is() -> None:
    queue: FairQueue[Any] = FairQueue(10.0)
    queue.add(entry("a"))
    queue.add(entry("b"))
    taken = queue.take(0.0, lambda each: each.tenant == "b")
    assert taken is not None
    assert taken.tenant == "b"
    assert len(queue) == 1


@given(ENTRIES, st.sampled_from("abcd"), st.sampled_from("xyz"))
def test_how_many_go_before_a_newcomer(
    asked: list[tuple[str, str, Priority]], tenant: str, key: str
) -> None:
    queue: FairQueue[Any] = FairQueue(10.0)
    for own, name, _ in asked:
        queue.add(entry(own, name))
    told = queue.ahead(tenant, tenant + key)
    new = entry(tenant, key)
    queue.add(new)
    before = 0
    while take(queue) is not new:
        before += 1
    # Where turns are equal the estimate counts the others first, in each tenant and for each key.
    assert told - 8 <= before <= told + 1


@given(st.integers(1, 40), st.integers(0, 40))
def test_a_burst_leaves_places_for_those_who_were_here(places: int, peak: int) -> None:
    shares = Shares()
    peak = min(peak, places // 2)
    for _ in range(peak):
        shares.enter("other")
    for _ in range(peak):
        shares.leave("other")
    for _ in range(4 * places):
        shares.ask("burst")
    taken = 0
    while shares.may("burst", places - taken, places):
        shares.enter("burst")
        taken += 1
    if not peak:
        assert taken == places
        return
    assert taken >= places - peak - 1
    assert taken <= places - min(peak, places // 2)
    # They find their places when they come back.
    for number in range(min(peak, places // 2)):
        assert shares.may("other", places - taken - number, places)
        shares.enter("other")


@given(st.integers(2, 12), st.integers(8, 64))
def test_who_asks_for_no_more_than_chance_explains_finds_what_is_free(
    keys: int, places: int
) -> None:
    shares = Shares()
    for number in range(keys):
        for _ in range(places):
            shares.enter(f"other{number}")
        for _ in range(places):
            shares.leave(f"other{number}")
    share = places // (keys + 1)
    for taken in range(share + 1):
        shares.ask("own")
        assert shares.may("own", places - taken, places)
        shares.enter("own")
    # A flood of the same key does not.
    for _ in range(4 * places):
        shares.ask("own")
    assert not shares.may("own", 1, places)
    # What it asked for is served in time, and forgotten.
    for _ in range(20):
        shares.fade(1.0, 0.5)
    assert shares.may("own", 1, places)


def test_what_was_long_ago_is_forgotten() -> None:
    shares = Shares()
    for key in ("other", "other"):
        shares.enter(key)
    shares.leave("other")
    shares.leave("other")
    assert shares.kept_here({"burst": 9}, 4) == 2
    for _ in range(3):
        shares.fade(0.5, 0.5)
    assert shares.kept_here({"burst": 9}, 4) == 0
    assert shares.may("burst", 1, 1)


def test_nothing_is_kept_from_those_who_have_less_than_their_share() -> None:
    shares = Shares()
    shares.enter("here")
    shares.leave("here")
    assert shares.kept_here({"elsewhere": 1}, 4) == 0
    assert shares.kept_here({"elsewhere": 2}, 4) == 1
    # Its own requests wait elsewhere: the place is for them.
    assert shares.kept_here({"here": 0}, 4) == 0
    assert shares.kept_here({"here": 3, "elsewhere": 3}, 4) == 0


@given(st.floats(0.1, 100.0))
def test_a_rate_comes_to_what_it_counts(rate: float) -> None:
    counted = Rate(10.0)
    assert counted.value == 0.0
    due = 0.0
    for _ in range(200):
        due += rate * 0.5
        while due >= 1.0:
            counted.count()
            due -= 1.0
        counted.passed(0.5)
    assert abs(counted.value - rate) <= 0.1 + rate * 0.05
