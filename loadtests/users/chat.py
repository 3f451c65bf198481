"""Somebody who chats: each question comes with all that was said before."""

from __future__ import annotations

from typing import Any

from loadtests.client.ask import Ask
from loadtests.users.draw import Draw, Talk, streamed, sum_of, user

MOST_TURNS = 5
MOST_TOKENS = 512


def chat(draw: Draw) -> Talk:
    """Two to five turns; it ends early where an answer fails."""
    history: list[dict[str, Any]] = []
    for _ in range(draw.rng.randint(2, MOST_TURNS)):
        question, right = sum_of(draw.rng)
        body = streamed([*history, user(question)], max_tokens=MOST_TOKENS)
        call = yield Ask(body, right=right, pause_s=draw.pause())
        if not call.completed:
            return
        history += [user(question), {"role": "assistant", "content": call.said.content}]
