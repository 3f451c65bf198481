"""How long prompts and answers are: drawn from what was seen somewhere. Pure but for reading."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.load.trace import read

if TYPE_CHECKING:
    import random

CONVERSATION = Path(__file__).with_name("azure-2023-conversation.csv")
"""240 calls, evenly taken by their prompts' lengths, of the 19,366 of the Azure LLM inference trace
2023, conversations (Patel et al., Splitwise, ISCA 2024; CC BY 4.0)."""


@dataclass(frozen=True)
class Lengths:
    """Pairs of prompt and answer tokens, drawn together, for they belong together.

    What is longer than `longest_prompt` or `longest_answer` is taken as that: a model has a
    context, and a test an end.
    """

    pairs: tuple[tuple[int, int], ...]
    longest_prompt: int = 1024
    longest_answer: int = 256

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ValueError("lengths: there is not a single call to draw from")
        if self.longest_prompt < 1 or self.longest_answer < 1:
            raise ValueError("lengths: the longest prompt and answer have at least one token")

    @classmethod
    def of(cls, path: Path = CONVERSATION, *, prompt: int = 1024, answer: int = 256) -> Lengths:
        """Those of a trace's calls. Raises ValueError or OSError."""
        calls = read(path, timed=False)
        return cls(tuple((each.prompt, each.answer) for each in calls), prompt, answer)

    def draw(self, rng: random.Random) -> tuple[int, int]:
        """Tokens of a prompt and of its answer."""
        prompt, answer = rng.choice(self.pairs)
        return min(prompt, self.longest_prompt), min(answer, self.longest_answer)
