"""Usage that says: this answer was there already. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.protocol.usage import Usage

# The gateway's JSON has no blanks, and inside a text each quote has a backslash before it: so
# this is found where there is a usage object, and nowhere else.
_MARK = b'"usage":{'


def as_cached(data: bytes, *, stream: bool) -> bytes:
    """A whole answer, or whole events of a stream, all prompt tokens said to be cached."""
    if _MARK not in data:
        return data
    if not stream:
        return _rewrite(data)
    events = data.split(b"\n\n")
    return b"\n\n".join(
        b"data: " + _rewrite(event[6:]) if event.startswith(b"data: ") and _MARK in event else event
        for event in events
    )


def cached(usage: Usage) -> Usage:
    """The same for the accounts."""
    return Usage(
        prompt=usage.prompt,
        completion=usage.completion,
        reasoning=usage.reasoning,
        cached=usage.prompt,
    )


def _rewrite(data: bytes) -> bytes:
    body: dict[str, Any] = orjson.loads(data)
    usage = body.get("usage")
    if isinstance(usage, dict):
        _mark(usage)
    return orjson.dumps(body)


def _mark(usage: dict[str, Any]) -> None:
    prompt = usage.get("prompt_tokens") or 0
    usage["prompt_tokens_details"] = {
        **(usage.get("prompt_tokens_details") or {}),
        "cached_tokens": prompt,
    }
    if "prompt_cache_hit_tokens" in usage:
        usage["prompt_cache_hit_tokens"] = prompt
        usage["prompt_cache_miss_tokens"] = 0
