"""How many workers a model gets, and which of them start anew: pure.

A StatefulSet removes the worker with the highest ordinal first, and a Ray node that is told to go
drains: Ray Serve starts another replica elsewhere, and lets the one on it finish its answers. So a
worker that holds a replica goes only where a free one with a lower ordinal takes the replica in.
"""

from collections.abc import Collection
from dataclasses import dataclass

from serving.kubernetes.goal import Workers


@dataclass(frozen=True, slots=True)
class Worker:
    """A pod of the StatefulSet that is there."""

    ordinal: int
    joined: bool = True
    """Its Ray node is alive."""
    leaving: bool = False
    """It was told to go."""
    outdated: bool = False
    """It was made from an older template."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A model's workers and replicas at one moment."""

    declared: int
    """Workers that the StatefulSet is told to have."""
    workers: tuple[Worker, ...]
    holders: tuple[frozenset[int], ...] = ()
    """The workers' ordinals of each replica, or data-parallel group, that has its place."""
    wanted: int = 0
    """Workers that Ray Serve's replicas need, those on leaving workers not counted."""
    settled: bool = True
    """All replicas that Ray Serve wants run, and no others."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the StatefulSet is to be told."""

    replicas: int
    why: str = ""
    """What is done or waited for; empty where all is as it should be."""


def decide(limits: Workers, scene: Scene) -> Decision:
    """The number of workers to have now: more at once, fewer as soon as nobody loses a place."""
    needed = _needed(limits, scene)
    if needed > scene.declared:
        return Decision(needed, f"{needed} workers, so that every replica finds its place")
    if needed == scene.declared:
        return Decision(needed)
    for fewer in range(needed, scene.declared, limits.group):
        moving = _moving(limits, scene, fewer)
        if moving is not None and len(moving) <= len(_free(limits, scene, fewer)):
            moved = f"; {len(moving)} replica(s) move to free workers first" if moving else ""
            return Decision(fewer, f"{fewer} workers are enough{moved}")
    return Decision(
        scene.declared,
        f"{needed} workers would be enough, but replicas still answer on the others, "
        "or no free worker can take them",
    )


def restart(limits: Workers, scene: Scene) -> frozenset[int]:
    """Ordinals of the group that is to start anew because its template changed; empty for none.

    One group at a time, the highest first, and only while all others are there and serve.
    """
    here = {each.ordinal: each for each in scene.workers if each.ordinal < scene.declared}
    whole = len(here) == scene.declared and all(
        each.joined and not each.leaving for each in here.values()
    )
    outdated = [each.ordinal // limits.group for each in here.values() if each.outdated]
    if not outdated or not whole or not scene.settled:
        return frozenset()
    return frozenset(_members(limits, max(outdated)))


def _needed(limits: Workers, scene: Scene) -> int:
    """Workers such that enough groups of them stay, within the bounds."""
    groups = -(-scene.wanted // limits.group)
    groups = max(limits.least, min(groups, limits.most + limits.surge))
    leaving = {each.ordinal // limits.group for each in scene.workers if each.leaving}
    staying = total = 0
    while staying < groups:
        staying += total not in leaving
        total += 1
    return min(total, limits.most + limits.surge) * limits.group


def _moving(limits: Workers, scene: Scene, fewer: int) -> set[int] | None:
    """Groups from `fewer` on with a replica; None if one of these is on lower workers as well."""
    moving: set[int] = set()
    for holder in scene.holders:
        # What is beyond the declared number drains already.
        above = {each for each in holder if fewer <= each < scene.declared}
        if above and min(holder) < fewer:
            return None
        moving |= {each // limits.group for each in above}
    return moving


def _free(limits: Workers, scene: Scene, fewer: int) -> set[int]:
    """Groups below `fewer` that could take a replica at once."""
    held = {each // limits.group for holder in scene.holders for each in holder}
    able = {each.ordinal for each in scene.workers if each.joined and not each.leaving}
    return {
        group
        for group in range(fewer // limits.group)
        if group not in held and _covers(able, _members(limits, group))
    }


def _members(limits: Workers, group: int) -> range:
    return range(group * limits.group, (group + 1) * limits.group)


def _covers(able: Collection[int], members: range) -> bool:
    return all(each in able for each in members)
