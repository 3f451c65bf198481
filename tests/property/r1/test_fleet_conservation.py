"""Whatever happens to a small fleet, every question has one ending and nothing is left over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings as settings_of_test
from hypothesis import strategies as st

from r1.fleet.scale.load import Crowd, People
from r1.fleet.scale.play import play
from r1.fleet.scale.scenarios import POLICIES, Event, Policy, Scenario

EVENTS = st.one_of(
    st.builds(Event, st.floats(0, 90), st.just("zone lost"), st.sampled_from((0, 1))),
    st.builds(Event, st.floats(0, 90), st.just("failing"), st.floats(0, 1)),
    st.builds(Event, st.floats(0, 90), st.just("slow"), st.floats(0.5, 5)),
    st.builds(Event, st.floats(0, 60), st.just("upgrade"), st.floats(0, 30)),
)
CROWDS = st.builds(
    Crowd, st.integers(1, 60), st.floats(0, 90), st.floats(0, 20),
    st.sampled_from(("tenant-0", "the herd")), st.booleans(),
)  # fmt: skip


@settings_of_test(max_examples=12)
@given(
    replicas=st.integers(2, 4),
    users=st.integers(1, 400),
    events=st.lists(EVENTS, max_size=3),
    crowds=st.lists(CROWDS, max_size=2),
    policy=st.sampled_from(POLICIES),
    seed=st.integers(0, 1000),
)
def test_every_question_ends_once(
    replicas: int,
    users: int,
    events: list[Event],
    crowds: list[Crowd],
    policy: Policy,
    seed: int,
) -> None:
    zones = [event for event in events if event.kind == "zone lost"]
    others = [event for event in events if event.kind != "zone lost"]
    scenario = Scenario(
        "small", replicas, People(users, think_s=60.0),
        events=(*sorted(others, key=lambda event: event.at_s), *zones[:1]), crowds=tuple(crowds),
        warm_up_s=0.0, measured_s=100.0, cold_start=0.02,
    )  # fmt: skip
    result = play(scenario, policy, seed)
    assert result.under_way == 0
    assert sum(result.figures.endings.values()) == result.figures.asked == len(result.seen)
    for each in result.seen:
        assert each.ending is not None
        assert each.ended_s is not None
        assert each.ended_s >= (each.first_s or each.asked_s) >= each.asked_s
        assert (each.first_s is not None) == (each.ending in ("whole", "broken"))
        assert 1 <= each.calls <= scenario.people.repeats + 1
    came = sum(crowd.requests for crowd in crowds)
    assert sum(each.sort == "crowd" for each in result.seen) <= came
