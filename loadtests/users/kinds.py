"""The kinds of users by their names."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.users.abusive import abusive
from loadtests.users.batch import batch
from loadtests.users.chat import chat
from loadtests.users.classification import classification
from loadtests.users.disconnector import disconnector
from loadtests.users.hot import hot
from loadtests.users.reasoning import reasoning
from loadtests.users.slow import slow
from loadtests.users.tools import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadtests.users.draw import Draw, Talk

TRACE = "trace"
"""What the calls of a trace are counted as."""


@dataclass(frozen=True)
class Kind:
    """A kind of user.

    `unruly`: its latencies are its own doing, and no figure of the server; they are told apart.
    """

    name: str
    talk: Callable[[Draw], Talk]
    unruly: bool = False


KINDS: Mapping[str, Kind] = {
    each.name: each
    for each in (
        Kind("chat", chat),
        Kind("reasoning", reasoning),
        Kind("classification", classification),
        Kind("hot", hot),
        Kind("batch", batch),
        Kind("tools", tools),
        Kind("abusive", abusive, unruly=True),
        Kind("slow", slow, unruly=True),
        Kind("disconnector", disconnector, unruly=True),
    )
}
UNRULY = frozenset(name for name, kind in KINDS.items() if kind.unruly)


@dataclass(frozen=True)
class Mix:
    """Which kinds there are, and how many of each to how many of the others."""

    weights: tuple[tuple[str, float], ...] = (("chat", 1.0),)

    @classmethod
    def parse(cls, text: str) -> Mix:
        """Read `chat=3,reasoning=1,batch`; a kind without a number has 1.

        Raises:
            ValueError: there is no such kind, or its weight is no number above 0.
        """
        weights = []
        for part in text.split(","):
            name, _, given = part.strip().partition("=")
            if name not in KINDS:
                raise ValueError(f"there are no users {name!r}, but {', '.join(KINDS)}")
            try:
                weight = float(given or 1)
            except ValueError:
                weight = 0.0
            if not weight > 0:
                raise ValueError(f"{part.strip()!r}: give a number above 0, as in {name}=2")
            weights.append((name, weight))
        return cls(tuple(weights))

    def choose(self, rng: random.Random) -> Kind:
        """One kind by chance."""
        names, weights = zip(*self.weights, strict=True)
        return KINDS[rng.choices(names, weights)[0]]
