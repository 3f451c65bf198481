"""A product that sorts short texts into classes: the same few texts come again and again."""

from __future__ import annotations

from loadtests.client.ask import Ask
from loadtests.users.draw import Draw, Talk, says, user

MOST_TOKENS = 256


def classification(draw: Draw) -> Talk:
    """One of a hundred texts into one of nineteen classes, greedily, so that answers may be kept.

    The texts are sums of two digits, the classes their values: so a wrong class is seen.
    """
    one, other = draw.rng.randint(0, 9), draw.rng.randint(0, 9)
    body = {
        "messages": [user(f"What is {one} + {other}?")],
        "max_tokens": MOST_TOKENS,
        "temperature": 0,
    }
    yield Ask(body, right=says(one + other), pause_s=draw.pause())
