"""Somebody whose question takes long thought: one long stream."""

from __future__ import annotations

from loadtests.client.ask import Ask
from loadtests.users.draw import Draw, Talk, streamed, user


def reasoning(draw: Draw) -> Talk:
    """A prompt as long as others', and at least half of the longest answer."""
    prompt, _ = draw.lengths.draw(draw.rng)
    most = draw.lengths.longest_answer
    tokens = draw.rng.randint(max(1, most // 2), most)
    text = draw.text(prompt)
    yield Ask(streamed([user(text)], **draw.sized(tokens)), pause_s=draw.pause())
