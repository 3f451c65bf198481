"""Sums that a test draws, and how right the answers to them are."""

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from serving.nano.arithmetic import boxed

BAR = 0.98  # share of drawn sums that must be right

WORDINGS = (
    "What is {a} + {b}?",
    "{a}+{b}",
    "Calculate {a} + {b}.",
    "Add {a} and {b}.",
    "{a}加{b}等于多少？",
    "请计算{a} + {b}。",
)


@dataclass(frozen=True)
class Sum:
    """A question and the number that answers it."""

    question: str
    answer: int


def draw(count: int) -> list[Sum]:
    """Sums that nobody chose: every run asks others."""
    rng = random.Random(secrets.randbits(64))
    drawn = []
    for _ in range(count):
        a, b = (rng.randint(0, 10 ** rng.randint(1, 4) - 1) for _ in range(2))
        drawn.append(Sum(rng.choice(WORDINGS).format(a=a, b=b), a + b))
    return drawn


class Tally:
    """Answers to drawn sums, counted over several tests: fifty alone say too little."""

    def __init__(self) -> None:
        self._asked = 0
        self._wrong: list[str] = []

    def count(self, sums: Sequence[Sum], contents: Sequence[str | None]) -> None:
        """Count the answers that box the right number."""
        self._asked += len(sums)
        self._wrong += [
            f"{each.question!r} -> {content!r}"
            for each, content in zip(sums, contents, strict=True)
            if content is None or boxed(content) != each.answer
        ]

    def assert_right(self, least: int) -> None:
        """Assert that `least` sums or more were asked and enough of them are right."""
        assert self._asked >= least
        right = self._asked - len(self._wrong)
        assert right >= BAR * self._asked, f"{right} of {self._asked}; wrong: {self._wrong}"
