"""Which pods find a node. Pure; the scheduler itself may still find a better packing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Room:
    """What a pod asks for, or what a node has left. Ordered by what is scarcest."""

    gpus: int
    memory: float
    """Bytes of host memory."""
    cpus: float

    def __sub__(self, other: Self) -> "Room":
        """What is left when `other` is taken away."""
        return Room(self.gpus - other.gpus, self.memory - other.memory, self.cpus - other.cpus)

    def holds(self, other: Self) -> bool:
        """Whether `other` fits in."""
        return self.gpus >= other.gpus and self.memory >= other.memory and self.cpus >= other.cpus


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod to be placed."""

    owner: str
    """The model it serves."""
    room: Room
    nodes: frozenset[str]
    """Names of the nodes that it may run on."""


def place(
    pods: Sequence[Pod], free: Mapping[str, Room]
) -> tuple[dict[str, tuple[Pod, ...]], tuple[Pod, ...]]:
    """Put pods on nodes, the largest first, each where least is left over.

    Args:
        pods: what to place.
        free: what each node has left, by its name.

    Returns:
        The pods of each node, and those that found none.
    """
    left = dict(free)
    placed: dict[str, tuple[Pod, ...]] = {}
    homeless: list[Pod] = []
    for pod in sorted(pods, key=lambda each: each.room, reverse=True):
        able = [name for name in sorted(pod.nodes & left.keys()) if left[name].holds(pod.room)]
        if not able:
            homeless.append(pod)
            continue
        best = min(able, key=lambda name: left[name])
        placed[best] = (*placed.get(best, ()), pod)
        left[best] -= pod.room
    return placed, tuple(homeless)
