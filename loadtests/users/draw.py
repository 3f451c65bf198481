"""What all users draw from: chance, lengths, words and questions with known answers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from loadtests.client.ask import Ask
from loadtests.client.call import Call, Said
from loadtests.load.lengths import Lengths

Talk = Generator[Ask, Call, None]
"""A conversation."""

_BOXED = re.compile(r"\\boxed\{\s*(-?\d+)\s*\}")
_NUMBER = re.compile(r"-?\d+")
_WORDS = re.findall(
    r"\w+",
    "the river carried small boats past quiet houses while people on the bank talked about "
    "weather prices music and a long journey that nobody had ever finished in one summer",
)


@dataclass
class Draw:
    """One user's chance and manner.

    `words_per_token` sizes prompts; `forced` asks the engine for exactly as many tokens as drawn
    (`ignore_eos`, which vLLM knows); `think_s` is the mean pause before a question; `read` how
    many bytes a second a slow reader takes.
    """

    rng: random.Random
    lengths: Lengths = field(default_factory=Lengths.of)
    words_per_token: float = 0.75
    forced: bool = True
    think_s: float = 0.0
    read: float = 4000.0

    def pause(self) -> float:
        """How long this user thinks now."""
        return self.rng.expovariate(1 / self.think_s) if self.think_s > 0 else 0.0

    def text(self, tokens: int, rng: random.Random | None = None) -> str:
        """About so many tokens of words; the same for the same chance."""
        count = max(1, round(tokens * self.words_per_token))
        return " ".join((rng or self.rng).choices(_WORDS, k=count))

    def sized(self, tokens: int) -> dict[str, Any]:
        """The fields that make an answer so many tokens long."""
        return {"max_tokens": tokens, **({"ignore_eos": True} if self.forced else {})}


def streamed(messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A chat request whose answer is streamed."""
    return {"messages": messages, "stream": True, **fields}


def user(text: str) -> dict[str, Any]:
    """A user's message."""
    return {"role": "user", "content": text}


def sum_of(rng: random.Random, most: int = 999) -> tuple[str, Callable[[Said], bool | None]]:
    """A sum, and who judges its answer."""
    one, other = rng.randint(0, most), rng.randint(0, most)
    return f"What is {one} + {other}?", says(one + other)


def says(number: int) -> Callable[[Said], bool | None]:
    """Judges whether an answer says this number: in its last box, else as its last number.

    An answer that its limit cut off is not judged.
    """

    def right(said: Said) -> bool | None:
        if said.finish == "length":
            return None
        found = _BOXED.findall(said.content) or _NUMBER.findall(said.content)
        return bool(found) and int(found[-1]) == number

    return right
