"""Which of several upstreams to ask: by load, or the one that knows the conversation. Pure.

Upstreams are given as sequences of the same order: their requests in flight and their weights.
What is returned is a place in these sequences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

_LEAST_SHARE = 0.1
_HASHES = 2**52
"""As many as floats tell apart in (0, 1), with both ends left out."""


def ramp(age_s: float, slow_start_s: float) -> float:
    """The part of its weight that an upstream has `age_s` after it came: 0.1 up to 1.

    An engine that just started compiles and fills caches on its first requests, so a full share
    at once would make many callers wait.
    """
    if age_s >= slow_start_s:
        return 1.0
    return max(_LEAST_SHARE, age_s / slow_start_s)


def by_weight(weights: Sequence[float], draw: float) -> int:
    """A place by chance, in proportion to the weights; `draw` is uniform in [0, 1)."""
    point = draw * sum(weights)
    for place, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return place
    return len(weights) - 1


def least_of_two(loads: Sequence[int], weights: Sequence[float], draws: tuple[float, float]) -> int:
    """The less loaded of two different places that chance picks by weight.

    Load is counted for each unit of weight; the first is taken where both are equal. This is close
    to the least loaded of all, without the herd that follows one stale number (Mitzenmacher,
    "The Power of Two Choices in Randomized Load Balancing", 2001).
    """
    first = by_weight(weights, draws[0])
    if len(loads) == 1:
        return first
    rest = [weight for place, weight in enumerate(weights) if place != first]
    second = by_weight(rest, draws[1])
    second += second >= first
    ahead = loads[first] / weights[first] <= loads[second] / weights[second]
    return first if ahead else second


def at_home(
    conversation: bytes,
    names: Sequence[bytes],
    loads: Sequence[int],
    weights: Sequence[float],
    *,
    factor: float,
    free: int,
) -> int:
    """The place where a conversation belongs, or the next in its own order that has room.

    Room ends at `factor` times a place's share of all requests, or at `free` requests if that is
    more (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018).
    """
    share = factor * (sum(loads) + 1) / sum(weights)
    order = preference(conversation, names, weights)
    for place in order:
        if loads[place] < max(free, math.ceil(share * weights[place])):
            return place
    return order[0]


def preference(conversation: bytes, names: Sequence[bytes], weights: Sequence[float]) -> list[int]:
    """All places in the order in which a conversation prefers them.

    Weighted rendezvous hashing: each pair of conversation and name has a fixed score, so a place
    that comes takes its share from all others, one that goes gives its own to all others, and
    nothing else moves (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005).
    """
    scores = []
    for name, weight in zip(names, weights, strict=True):
        hashed = int.from_bytes(blake2b(conversation + name, digest_size=8).digest()) % _HASHES
        scores.append(weight / -math.log((hashed + 0.5) / _HASHES))
    return sorted(range(len(names)), key=scores.__getitem__, reverse=True)
