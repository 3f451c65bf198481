"""A streaming client that measures: TTFT, gaps between tokens, tokens, and how a stream ended."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Target:
    """An OpenAI-compatible server."""

    name: str
    url: str  # ends in /v1
    model: str
    key: str = field(default="none", repr=False)


@dataclass(frozen=True)
class Stream:
    """What one streamed answer took. Times in seconds."""

    ttft: float
    duration: float
    tokens: int
    complete: bool
    gaps: tuple[float, ...] = ()
    """Between the events that carry text."""


@dataclass(frozen=True)
class Round:
    """All answers of one round against one target."""

    target: str
    users: int
    seconds: float
    streams: tuple[Stream, ...]

    @property
    def tokens_per_second(self) -> float:
        """Output tokens of all users together over the round's time."""
        return sum(s.tokens for s in self.streams) / self.seconds


async def measure(session: aiohttp.ClientSession, target: Target, body: dict[str, Any]) -> Stream:
    """Sends one streaming chat request and reads it to its end.

    Raises RuntimeError if the server answers with an error.
    """
    body = {**body, "model": target.model, "stream": True}
    body["stream_options"] = {"include_usage": True}
    headers = {
        "Authorization": f"Bearer {target.key}",
        "Content-Type": "application/json",
    }
    began, tokens, done = time.perf_counter(), 0, False
    came: list[float] = []
    async with session.post(
        f"{target.url}/chat/completions", data=orjson.dumps(body), headers=headers
    ) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{target.name} answered {answer.status}: {await answer.text()}")
        async for line in answer.content:
            if not line.startswith(b"data: "):
                continue
            if line.startswith(b"data: [DONE]"):
                done = True
                continue
            event = orjson.loads(line[6:])
            if "error" in event:
                raise RuntimeError(f"{target.name} ended a stream with {event['error']}")
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
            if _has_text(event):
                came.append(time.perf_counter())
    ended = time.perf_counter()
    gaps = tuple(after - before for before, after in pairwise(came))
    return Stream((came[0] if came else ended) - began, ended - began, tokens, done, gaps)


def _has_text(event: dict[str, Any]) -> bool:
    """Whether a chunk carries a token, under either name of the reasoning field."""
    return any(
        choice.get("delta", {}).get(name)
        for choice in event.get("choices", ())
        for name in ("content", "reasoning_content", "reasoning")
    )


async def run_round(
    session: aiohttp.ClientSession,
    target: Target,
    bodies: Sequence[dict[str, Any]],
    users: int,
) -> Round:
    """`users` clients work through `bodies` together, each asking again when it has its answer."""
    waiting = iter(bodies)
    streams: list[Stream] = []

    async def user() -> None:
        for body in waiting:
            streams.append(await measure(session, target, body))  # noqa: PERF401

    began = time.perf_counter()
    await asyncio.gather(*(user() for _ in range(users)))
    return Round(target.name, users, time.perf_counter() - began, tuple(streams))
