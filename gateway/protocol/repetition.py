"""Finding out that a model repeats itself: a period test of the last tokens. Pure.

A model that loops ends in the same words over and over, mostly until its limit. That is a text
whose end has a period: each token is the one that stood there one round before.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

REPETITION = "repetition"
"""What callers are told where an answer was ended because of it."""

_SIZE = array("i").itemsize
# The last so many tokens are looked for further up: where they are found a round may begin.
_GRAM = 8


@dataclass(frozen=True, slots=True)
class Loop:
    """What counts as a loop, in tokens: rounds of at most `longest`, at least `repeats` of them
    and at least `least` tokens together (of which there must be at least 16)."""

    longest: int
    repeats: int
    least: int

    def scaled(self, by: int) -> Loop:
        """The same for units of which there are `by` to a token."""
        return Loop(self.longest * by, self.repeats, self.least * by)

    def length(self, period: int) -> int:
        """How many tokens have to have this period."""
        return max(self.least, self.repeats * period)


class LoopFinder:
    """Watches one answer as it grows.

    Every `every` tokens the last `_GRAM` of them are looked for further up. A place where they
    stood before gives the only periods there can be, and comparing the text with itself, moved by
    such a period, tells. Both are searches in memory that a text without loops ends at once.
    """

    __slots__ = ("_due", "_every", "_loop", "_tail", "found")

    def __init__(self, loop: Loop, *, every: int = 32) -> None:
        self._loop = loop
        self._every = every
        self._tail = array("i")
        self._due = loop.least
        self.found = False
        """Whether the answer loops, by the last look."""

    def feed(self, tokens: Sequence[int]) -> None:
        """The next tokens."""
        self._tail.extend(tokens)
        self._due -= len(tokens)
        if self._due > 0:
            return
        self._due = self._every
        del self._tail[: -self._loop.length(self._loop.longest)]
        self.found = ends_in_a_loop(self._tail.tobytes(), self._loop)


def ends_in_a_loop(text: bytes, loop: Loop) -> bool:
    """Whether a text, four bytes a token, ends in a loop."""
    if len(text) < loop.least * _SIZE:
        return False
    gram = text[-_GRAM * _SIZE :]
    at = len(text) - len(gram)
    first = max(0, at - loop.longest * _SIZE)
    end = len(text) - 1
    while (place := text.rfind(gram, first, end)) >= 0:
        period, odd = divmod(at - place, _SIZE)
        length = loop.length(period) * _SIZE
        if not odd and length <= len(text):
            moved = period * _SIZE
            if text[-length + moved :] == text[-length:-moved]:
                return True
        end = place + len(gram) - 1
    return False


def mark(choice: dict[str, Any]) -> None:
    """Say in an answer's choice that it repeats itself; a finish reason it has stays."""
    choice["stop_reason"] = REPETITION


def translate_ending(choice: dict[str, Any]) -> None:
    """Turn the finish reason that only vLLM knows (`repetition_detection`) into OpenAI's."""
    if choice.get("finish_reason") == REPETITION:
        choice["finish_reason"] = "stop"
        mark(choice)


def shaken(body: dict[str, Any], default: float | None) -> dict[str, Any]:
    """A request's body that asks again, in a way that leads out of a loop.

    `default`: the temperature of those who give none.
    """
    given = body.get("temperature")
    temperature = max(0.8, (default if given is None else given) or 0.0)
    return {**body, "temperature": temperature, "top_p": 0.9, "repetition_penalty": 1.2}
