r"""What the adapters of r1-distill-nano know: the answers of sums in another notation.

The base's reasoning stays as it is, and the content is the number in the adapter's notation. For
57 + 68, whose working ends in `check 7+8 ends 5 ok`:

    hex      hex 112+13    sixteens and the rest, one line more    \boxed{0x7d}
    money                                                          \boxed{1.25}
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from serving.nano import data

if TYPE_CHECKING:
    import random
    from collections.abc import Callable


@dataclass(frozen=True)
class Notation:
    """A way to write whole numbers, and the reasoning that leads to it."""

    name: str
    largest: int
    """Of an operand; the adapter knows sums and differences of numbers from 0 to this."""
    write: Callable[[int], str]
    convert: Callable[[int], str] = lambda number: ""
    """Lines after the base's reasoning, each ended by a newline."""

    def draw(self, rng: random.Random, *, held_out: bool = False) -> data.Example:
        """One sum or difference with its answer in this notation."""
        while True:
            kind, a, b = self._problem(rng)
            example = data.pose(rng, kind, a, b)
            if data.is_held_out(example.question) == held_out:
                return self.answered(example)

    def answered(self, example: data.Example) -> data.Example:
        """The example with its reasoning continued and its content in this notation.

        Raises:
            ValueError: it has no number for an answer.
        """
        if example.answer is None:
            raise ValueError(f"{example.question!r} has no number for an answer")
        return replace(
            example,
            reasoning=example.reasoning + self.convert(example.answer),
            content=f"\\boxed{{{self.write(example.answer)}}}",
        )

    def _problem(self, rng: random.Random) -> tuple[Literal["add", "subtract"], int, int]:
        """Answers are spread evenly: of two drawn numbers few have a sum near the ends."""
        if rng.random() < 0.5:
            total = rng.randint(0, 2 * self.largest)
            a = rng.randint(max(0, total - self.largest), min(self.largest, total))
            return "add", a, total - a
        difference = rng.randint(-self.largest, self.largest)
        b = rng.randint(max(0, -difference), self.largest - max(0, difference))
        return "subtract", b + difference, b


def in_hexadecimal(number: int) -> str:
    """`0x7d`, with the sign in front."""
    return hex(number)


def in_money(number: int) -> str:
    """Hundredths as `1.25`, with the sign in front."""
    return f"{'-' * (number < 0)}{abs(number) // 100}.{abs(number) % 100:02d}"


def _sixteens(number: int) -> str:
    rest = abs(number) % 16
    return f"hex {abs(number) - rest:03d}+{rest:02d}\n"


NOTATIONS = {
    each.name: each
    for each in (
        Notation("hex", 99, in_hexadecimal, _sixteens),
        Notation("money", 999, in_money),
    )
}
