"""Sums that a test draws, and how right the answers to them are."""

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from serving.nano.arithmetic import boxed

# Share of drawn sums that must be right, by model. The aim is 0.98 for both; these are what the
# weights in the repository are good for now (serving/nano/README.md), and rise with them.
BARS = {"r1-nano": 0.88, "r1-distill-nano": 0.88}

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


def assert_right(sums: Sequence[Sum], contents: Sequence[str | None], model: str) -> None:
    """Assert that a model's answers box the right number as often as it can; name the others."""
    wrong = [
        f"{each.question!r} -> {content!r}"
        for each, content in zip(sums, contents, strict=True)
        if content is None or boxed(content) != each.answer
    ]
    right = len(sums) - len(wrong)
    assert right >= BARS[model] * len(sums), f"{right} of {len(sums)} right; wrong: {wrong}"
