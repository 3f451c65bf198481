"""Choosing an upstream: by load, and by the conversation."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.affinity import conversation
from gateway.upstream.balance import at_home, by_weight, least_of_two, preference, ramp

DRAWS = st.floats(0, 1, exclude_max=True)
SERVERS = st.lists(
    st.tuples(st.integers(0, 300), st.floats(0.01, 100)), min_size=1, max_size=12
).map(lambda pairs: ([load for load, _ in pairs], [weight for _, weight in pairs]))
CONVERSATIONS = [str(number).encode() for number in range(2000)]


def names(count: int) -> list[bytes]:
    return [f"http://10.0.0.{number}:8000".encode() for number in range(count)]


def test_chance_goes_by_weight() -> None:
    taken = [by_weight([1, 3], draw / 100) for draw in range(100)]
    assert (taken.count(0), taken.count(1)) == (25, 75)


def test_idle_servers_are_taken_by_weight_too() -> None:
    taken = [least_of_two([0, 0], [1, 3], (draw / 100, 0.5)) for draw in range(100)]
    assert (taken.count(0), taken.count(1)) == (25, 75)


@given(SERVERS, st.tuples(DRAWS, DRAWS))
def test_of_two_the_more_loaded_is_never_taken(
    servers: tuple[list[int], list[float]], draws: tuple[float, float]
) -> None:
    loads, weights = servers
    taken = least_of_two(loads, weights, draws)
    first = by_weight(weights, draws[0])
    rest = [place for place in range(len(loads)) if place != first]
    second = rest[by_weight([weights[place] for place in rest], draws[1])] if rest else first
    assert taken in (first, second)
    for other in (first, second):
        assert loads[taken] / weights[taken] <= loads[other] / weights[other]


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 100))
def test_a_new_server_comes_up_to_its_share(early: float, later: float, slow_start: float) -> None:
    early, later = sorted((early, later))
    assert 0.1 <= ramp(early, slow_start) <= ramp(later, slow_start) <= 1.0
    assert ramp(slow_start, slow_start) == ramp(math.inf, slow_start) == 1.0
    assert ramp(early, 0) == 1.0


@given(SERVERS, st.binary(max_size=16), st.floats(1, 3), st.integers(1, 8))
def test_home_is_kept_while_it_has_room_and_someone_always_has(
    servers: tuple[list[int], list[float]], who: bytes, factor: float, free: int
) -> None:
    loads, weights = servers
    hosts = names(len(loads))

    def room(place: int) -> bool:
        share = factor * (sum(loads) + 1) * weights[place] / sum(weights)
        return loads[place] < max(free, math.ceil(share - 1e-9))

    taken = at_home(who, hosts, loads, weights, factor=factor, free=free)
    order = preference(who, hosts, weights)
    assert sorted(order) == list(range(len(loads)))
    assert any(room(place) for place in order)
    # All that the conversation prefers to the one taken are full.
    for place in order[: order.index(taken)]:
        assert not room(place)


def test_a_new_server_takes_only_its_share_of_the_conversations() -> None:
    for count in (1, 2, 5):
        before = [preference(each, names(count), [1.0] * count)[0] for each in CONVERSATIONS]
        grown = names(count + 1)
        after = [preference(each, grown, [1.0] * (count + 1))[0] for each in CONVERSATIONS]
        moved = [new for old, new in zip(before, after, strict=True) if old != new]
        assert set(moved) == {count}
        # 1/(n+1) of 2000, five standard deviations either way.
        share = 1 / (count + 1)
        assert abs(len(moved) - 2000 * share) < 5 * math.sqrt(2000 * share * (1 - share))


def test_a_server_that_goes_moves_only_its_own_conversations() -> None:
    hosts = names(4)
    for who in CONVERSATIONS:
        order = preference(who, hosts, [1.0] * 4)
        left = preference(who, hosts[:3], [1.0] * 3)
        assert left == [place for place in order if place != 3]


def test_a_share_that_grows_only_draws_conversations_in() -> None:
    homes = [
        [preference(who, names(3), [1.0, 1.0, share])[0] for who in CONVERSATIONS]
        for share in (0.1, 0.4, 1.0)
    ]
    counts = [home.count(2) for home in homes]
    # 2000 × 0.1/2.1, 0.4/2.4, 1/3, five standard deviations either way.
    for count, share in zip(counts, (0.1 / 2.1, 0.4 / 2.4, 1 / 3), strict=True):
        assert abs(count - 2000 * share) < 5 * math.sqrt(2000 * share * (1 - share))
    for early, late in pairwise(homes):
        assert all(new in (old, 2) for old, new in zip(early, late, strict=True))


TEXTS = st.text(max_size=20)


@given(TEXTS, TEXTS, TEXTS, st.lists(TEXTS, max_size=3))
def test_all_turns_of_a_conversation_are_one(
    tenant: str, system: str, first: str, later: list[str]
) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": system},
        {"role": "user", "content": first},
    ]
    known = conversation({"messages": messages}, tenant)
    for number, text in enumerate(later):
        role = "user" if number % 2 else "assistant"
        messages.append({"role": role, "content": text})
        assert conversation({"messages": messages, "stream": True}, tenant) == known
    assert conversation({"messages": messages}, tenant + "x") != known
    # How the text is cut into messages and parts matters, and is told apart.
    assert conversation({"messages": [{"role": "user", "content": system + first}]}, "") != known


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["messages", "prompt", "content", "text", "role"]), inner
            )
        ),
    )
)
def test_any_body_has_a_conversation_or_none(content: Any) -> None:
    for body in (
        {"messages": [{"role": "user", "content": content}]},
        {"prompt": content},
        {"input": content},
    ):
        known = conversation(body, "acme")
        assert known is None or len(known) == 16


def test_what_has_no_text_has_no_conversation() -> None:
    assert conversation({"prompt": [1, 2, 3]}, "acme") is None
    prompt = "x" * 2000
    assert conversation({"prompt": prompt}, "a") == conversation({"prompt": prompt + "y"}, "a")
    part = {"type": "text", "text": "hello"}
    assert conversation({"messages": [{"role": "user", "content": [part]}]}, "a") == conversation(
        {"messages": [{"role": "user", "content": "hello"}]}, "a"
    )
