"""The nano models' task: problems, their column-by-column working, and the check of an answer.

First the question is copied as an expression, wherever and however it was worded. Every line after
that has a fixed width, so each character depends on characters at fixed distances: that is what a
small model learns exactly.

    4821 + 379                 3 - 12                   47 * 6
    4821+379       expression  3-12                     47*6
    +(4821+0379)   operands    +(0003-0012)             +(0047*0006)
    1+9+0=0c1      digit,      ==<>         compare,    7*6=42
    2+7+1=0c1      carry       -(0012-0003) larger      4*6=24
    8+3+1=2c1                  2-3-0=9b1    first       7*0=00
    4+0+1=5c0                  1-0-1=0b0                +(0042+0240)
    =+05200        result      0-0-0=0b0                2+0+0=2c0
    check 1+9 ends 0 ok        ...                      ...

A chain is worked out from left to right. In the copy its second operator stands after a space, and
it is copied once more (`next-0005`) before the step that it belongs to: without these marks a small
model finds the number, but mixes up the two operators.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Operator = Literal["+", "-", "*"]

WIDTH = 4  # digits of an operand, zero-padded, in the working
_FLIP: dict[str, Operator] = {"+": "-", "-": "+"}
_BOXED = re.compile(r"\\boxed\{(-?[0-9]+)\}")


@dataclass(frozen=True)
class Problem:
    """`numbers[0] operators[0] numbers[1] operators[1] …`, evaluated from left to right.

    To be worked out: two numbers and one of `+ - *`, or three numbers and two of `+ -`.
    """

    numbers: tuple[int, ...]
    operators: tuple[Operator, ...]

    def expression(self) -> str:
        """The problem in ASCII, a space before each operator but the first: `12+7 -5`."""
        pairs = zip(self.operators, self.numbers[1:], strict=True)
        return str(self.numbers[0]) + " ".join(f"{o}{n}" for o, n in pairs)

    def answer(self) -> int:
        """The value of the expression."""
        value = self.numbers[0]
        for operator, number in zip(self.operators, self.numbers[1:], strict=True):
            value = _apply(value, operator, number)
        return value

    def working(self) -> str:
        """The reasoning that leads to the answer, one line a step, ended by a newline."""
        lines = [self.expression()]
        sign, magnitude = "+", self.numbers[0]
        check = ""
        for i, operator in enumerate(self.operators):
            number = self.numbers[i + 1]
            if i:
                lines.append(f"next{operator}{number:04d}")
            if operator == "*":
                sign, magnitude, check = _multiply(lines, magnitude, number)
            else:
                sign, magnitude, check = _add(lines, sign, magnitude, operator, number)
        lines.append(f"check {check} ok")
        return "\n".join(lines) + "\n"


def boxed(text: str) -> int | None:
    r"""The number in the last `\boxed{…}` of a text, or None."""
    found = _BOXED.findall(text)
    return int(found[-1]) if found else None


def _apply(value: int, operator: Operator, number: int) -> int:
    if operator == "+":
        return value + number
    if operator == "-":
        return value - number
    return value * number


def _add(
    lines: list[str], sign: str, magnitude: int, operator: Operator, number: int
) -> tuple[str, int, str]:
    """One signed step: `sign magnitude operator number`, by columns from the right."""
    effective = operator if sign == "+" else _FLIP[operator]
    lines.append(f"{sign}({magnitude:04d}{effective}{number:04d})")
    if effective == "+":
        return _columns_up(lines, sign, magnitude, number)
    left, right = f"{magnitude:04d}", f"{number:04d}"
    lines.append("".join("=<>"[(a > b) * 2 + (a < b)] for a, b in zip(left, right, strict=True)))
    if magnitude == number:
        sign = "+"
    elif magnitude < number:
        sign = "-" if sign == "+" else "+"
        magnitude, number = number, magnitude
    lines.append(f"{sign}({magnitude:04d}-{number:04d})")
    return _columns_down(lines, sign, magnitude, number)


def _columns_up(lines: list[str], sign: str, a: int, b: int) -> tuple[str, int, str]:
    carry = 0
    for x, y in _columns(a, b):
        total = x + y + carry
        lines.append(f"{x}+{y}+{carry}={total % 10}c{total // 10}")
        carry = total // 10
    lines.append(f"={sign}{a + b:05d}")
    return sign, a + b, f"{a % 10}+{b % 10} ends {(a + b) % 10}"


def _columns_down(lines: list[str], sign: str, a: int, b: int) -> tuple[str, int, str]:
    borrow = 0
    for x, y in _columns(a, b):
        total = x - y - borrow
        lines.append(f"{x}-{y}-{borrow}={total % 10}b{int(total < 0)}")
        borrow = int(total < 0)
    lines.append(f"={sign}{a - b:05d}")
    return sign, a - b, f"{(a - b) % 10}+{b % 10} ends {a % 10}"


def _multiply(lines: list[str], a: int, b: int) -> tuple[str, int, str]:
    """At most one of the two has two digits, so one of the two cross products is zero."""
    lines.append(f"+({a:04d}*{b:04d})")
    pairs = ((a % 10, b % 10), (a // 10, b % 10), (a % 10, b // 10))
    lines.extend(f"{x}*{y}={x * y:02d}" for x, y in pairs)
    units, *tens = (x * y for x, y in pairs)
    lines.append(f"+({units:04d}+{10 * sum(tens):04d})")
    _columns_up(lines, "+", units, 10 * sum(tens))
    return "+", a * b, f"{a % 10}*{b % 10} ends {a * b % 10}"


def _columns(a: int, b: int) -> list[tuple[int, int]]:
    """The digits of both numbers, from the right."""
    return [(a // 10**i % 10, b // 10**i % 10) for i in range(WIDTH)]
