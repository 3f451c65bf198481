"""How many words a token is, by what a server says of two prompts. Pure."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from loadtests.client.ask import Ask
from loadtests.load.lengths import Lengths
from loadtests.users.draw import Draw, user

if TYPE_CHECKING:
    from collections.abc import Sequence

USUAL = 0.75
_COUNTS = (8, 72)


def _ask(words: int) -> Ask:
    draw = Draw(random.Random(0), Lengths(((1, 1),)), words_per_token=1.0)
    return Ask({"messages": [user(draw.text(words))], "max_tokens": 1})


RULERS = tuple(_ask(count) for count in _COUNTS)
"""Two small questions, which also show that the server answers."""


def words_per_token(prompt_tokens: Sequence[int]) -> float:
    """From the tokens of the two; what a template adds to both falls out. 0.75 if nobody knows."""
    few, many = prompt_tokens
    grown = many - few
    return (_COUNTS[1] - _COUNTS[0]) / grown if grown > 0 else USUAL
