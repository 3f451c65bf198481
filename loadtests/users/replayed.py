"""Somebody of a trace: lengths as they were seen, and prompts that share what theirs shared."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from loadtests.client.ask import Ask
from loadtests.load.trace import BLOCK
from loadtests.users.draw import Draw, Talk, streamed, user

if TYPE_CHECKING:
    from loadtests.load.trace import Arrival


def replayed(draw: Draw, arrival: Arrival) -> Talk:
    """One streamed call."""
    tokens = min(arrival.prompt, draw.lengths.longest_prompt)
    answer = min(arrival.answer, draw.lengths.longest_answer)
    yield Ask(streamed([user(prompt_of(draw, arrival, tokens))], **draw.sized(answer)))


def prompt_of(draw: Draw, arrival: Arrival, tokens: int) -> str:
    """So many tokens, those of its blocks first."""
    parts = []
    for block in arrival.blocks:
        if tokens <= 0:
            break
        parts.append(draw.text(min(BLOCK, tokens), random.Random(block)))
        tokens -= BLOCK
    if tokens > 0:
        parts.append(draw.text(tokens))
    return " ".join(parts)
