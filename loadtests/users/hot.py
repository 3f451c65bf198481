"""Many people with the same few questions: prompts by Zipf's law."""

from __future__ import annotations

from functools import cache
from itertools import accumulate

from loadtests.client.ask import Ask
from loadtests.users.draw import Draw, Talk, says, streamed, user

PROMPTS = 1000
EXPONENT = 1.1
MOST_TOKENS = 256


@cache
def shares(prompts: int = PROMPTS, exponent: float = EXPONENT) -> tuple[float, ...]:
    """Cumulative weights: the prompt of rank k is asked for 1 / k**exponent times as often."""
    return tuple(accumulate(1 / rank**exponent for rank in range(1, prompts + 1)))


def hot(draw: Draw) -> Talk:
    """A question of whatever rank, greedily and streamed."""
    (rank,) = draw.rng.choices(range(PROMPTS), cum_weights=shares())
    body = streamed([user(f"What is {rank} + {rank % 7}?")], max_tokens=MOST_TOKENS, temperature=0)
    yield Ask(body, right=says(rank + rank % 7), pause_s=draw.pause())
