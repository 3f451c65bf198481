"""The worker count of a model: no replica loses its place, and it ends where Serve wants it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from serving.kubernetes.goal import Workers
from serving.kubernetes.workers import Scene, Worker, decide, restart


def limits(least: int, more: int, surge: int, group: int) -> Workers:
    return Workers(
        model="m",
        stateful_set="s",
        pool="model:m",
        ranks_per_worker=1,
        group=group,
        least=least,
        most=least + more,
        surge=surge,
    )


bounds = st.builds(
    limits, st.integers(0, 3), st.integers(1, 4), st.integers(0, 2), st.integers(1, 3)
)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Workers, Scene]:
    """A model in any state: pods that are there, leave or never came; replicas anywhere on them."""
    bound = draw(bounds)
    groups = draw(st.integers(0, bound.most + bound.surge))
    declared = groups * bound.group
    there = draw(st.sets(st.integers(0, declared + bound.group), max_size=declared + bound.group))
    workers = tuple(
        Worker(ordinal, draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))
        for ordinal in sorted(there)
    )
    holders = draw(
        st.lists(st.frozensets(st.sampled_from(sorted(there)), min_size=1, max_size=3), max_size=5)
        if there
        else st.just([])
    )
    wanted = draw(st.integers(0, 30))
    return bound, Scene(declared, workers, tuple(holders), wanted, draw(st.booleans()))


@given(scenes())
def test_the_count_stays_within_its_bounds(given_: tuple[Workers, Scene]) -> None:
    bound, scene = given_
    found = decide(bound, scene).replicas
    assert bound.least * bound.group <= found
    assert found <= max(scene.declared, (bound.most + bound.surge) * bound.group)
    assert found % bound.group == 0


@given(scenes())
def test_whoever_loses_a_worker_has_a_free_one_to_go_to(given_: tuple[Workers, Scene]) -> None:
    bound, scene = given_
    found = decide(bound, scene).replicas
    lost = set(range(found, scene.declared))
    losers = [holder for holder in scene.holders if holder & lost]
    assert all(min(holder) >= found for holder in losers)
    held = {each // bound.group for holder in scene.holders for each in holder}
    able = {each.ordinal for each in scene.workers if each.joined and not each.leaving}
    free = [
        group
        for group in range(found // bound.group)
        if group not in held and set(range(group * bound.group, (group + 1) * bound.group)) <= able
    ]
    assert len({each // bound.group for holder in losers for each in holder & lost}) <= len(free)


@given(scenes())
def test_more_replicas_get_their_workers_at_once(given_: tuple[Workers, Scene]) -> None:
    bound, scene = given_
    calm = replace(scene, workers=tuple(replace(w, leaving=False) for w in scene.workers))
    wanted = min(scene.wanted, bound.most * bound.group)
    assert decide(bound, calm).replicas >= wanted


@given(bounds, st.integers(0, 7), st.integers(0, 7), st.data())
def test_it_ends_where_serve_wants_it(
    bound: Workers, before: int, target: int, data: st.DataObject
) -> None:
    """Pods come and go as told, and replicas move to free groups before theirs ends."""
    most = bound.most + bound.surge
    declared = max(bound.least, min(before, most))
    target = max(0, min(target, bound.most))
    places = data.draw(st.permutations(range(max(declared, target))))
    groups = {group for group in places[:target] if group < declared}
    for _ in range(20):
        scene = Scene(
            declared=declared * bound.group,
            workers=tuple(Worker(ordinal) for ordinal in range(declared * bound.group)),
            holders=tuple(
                frozenset(range(each * bound.group, (each + 1) * bound.group)) for each in groups
            ),
            wanted=target * bound.group,
        )
        told = decide(bound, scene).replicas // bound.group
        groups = {each for each in groups if each < told}
        declared = told
        for group in range(declared):
            if len(groups) < target:
                groups.add(group)
    assert len(groups) == target
    assert declared == max(bound.least, target)


@given(scenes())
def test_a_group_starts_anew_only_while_all_others_serve(given_: tuple[Workers, Scene]) -> None:
    bound, scene = given_
    found = restart(bound, scene)
    if found:
        assert scene.settled
        assert len({each // bound.group for each in found}) == 1
        assert len(found) == bound.group
        here = {each.ordinal: each for each in scene.workers}
        assert all(here[each].joined for each in range(scene.declared))
        assert not any(here[each].leaving for each in range(scene.declared))
        assert any(here[each].outdated for each in found)
