"""Somebody on a bad line, who reads an answer far slower than it is written."""

from __future__ import annotations

from loadtests.client.ask import Ask
from loadtests.users.draw import Draw, Talk, streamed, user


def slow(draw: Draw) -> Talk:
    """One stream, read at `draw.read` bytes a second."""
    prompt, answer = draw.lengths.draw(draw.rng)
    body = streamed([user(draw.text(prompt))], **draw.sized(answer))
    yield Ask(body, bytes_per_s=draw.read, pause_s=draw.pause())
