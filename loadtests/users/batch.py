"""A job that scores documents: prompts without a pause, one token with its log-probability each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtests.client.ask import Ask
from loadtests.users.draw import Draw, Talk, user

if TYPE_CHECKING:
    from loadtests.client.call import Said

DOCUMENTS = 8


def batch(draw: Draw) -> Talk:
    """Eight documents one behind the other."""
    for _ in range(DOCUMENTS):
        prompt, _ = draw.lengths.draw(draw.rng)
        body = {
            "messages": [user(draw.text(prompt))],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 2,
        }
        yield Ask(body, right=scored)


def scored(said: Said) -> bool:
    """Whether the token came with its log-probability."""
    return said.scores > 0
