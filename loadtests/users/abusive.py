"""A key far above its limits, which does not listen to `retry-after`."""

from __future__ import annotations

from loadtests.client.ask import OK, Ask
from loadtests.users.draw import Draw, Talk, sum_of, user

CALLS = 20
PAUSE_S = 0.02
"""Between two calls: it must not take the load's own processor."""
REFUSALS = frozenset({402, 429})


def abusive(draw: Draw) -> Talk:
    """Twenty calls in a row; to be refused is what it is there for."""
    for _ in range(CALLS):
        question, right = sum_of(draw.rng)
        body = {"messages": [user(question)], "max_tokens": 64}
        yield Ask(body, right=right, expected=OK | REFUSALS, pause_s=PAUSE_S)
