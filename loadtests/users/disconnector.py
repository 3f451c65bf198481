"""Somebody who hangs up in the middle of an answer."""

from __future__ import annotations

from loadtests.client.ask import Ask
from loadtests.users.draw import Draw, Talk, streamed, user

MOST_EVENTS = 20


def disconnector(draw: Draw) -> Talk:
    """One stream, left after one to twenty events with text."""
    prompt, _ = draw.lengths.draw(draw.rng)
    tokens = draw.lengths.longest_answer
    body = streamed([user(draw.text(prompt))], **draw.sized(tokens))
    after = draw.rng.randint(1, MOST_EVENTS)
    yield Ask(body, leaves_after=after, pause_s=draw.pause())
