"""Sums that a test draws, and how right the answers to them are."""

import asyncio
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from openai import AsyncOpenAI

from serving.nano.arithmetic import boxed
from tests.integration.local_stack import LocalStack

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


async def assert_right(stack: LocalStack, model: str, count: int) -> None:
    """Ask for so many new sums, sixteen at a time, and assert that enough answers are right."""
    sums = draw(count)
    gate = asyncio.Semaphore(16)
    async with AsyncOpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=0) as client:

        async def ask(question: str) -> str | None:
            async with gate:
                answer = await client.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": question}],
                    temperature=0,
                )
            return answer.choices[0].message.content

        contents = await asyncio.gather(*(ask(each.question) for each in sums))
    tally = Tally()
    tally.count(sums, contents)
    tally.assert_right(count)
