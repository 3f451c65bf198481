"""Calls as plain values, which workers send to their master. Pure."""

from __future__ import annotations

from typing import Any

from loadtests.client.call import Call, Said

_FIELDS = (
    *("kind", "due", "began", "ended", "first", "gaps", "ending", "status", "message", "cache"),
    *("retry_after", "expected", "right"),
)
_COUNTS = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "finish")


def plain(call: Call, offset: float) -> dict[str, Any]:
    """Without texts; `offset` brings times to a clock that machines share, in seconds."""
    given = {name: getattr(call, name) for name in _FIELDS}
    given |= {name: getattr(call.said, name) for name in _COUNTS}
    for name in ("due", "began", "ended", "first"):
        if given[name] is not None:
            given[name] += offset
    return given


def call_of(given: dict[str, Any]) -> Call:
    """The call again. Raises LookupError if it is none."""
    said = Said(**{name: given[name] for name in _COUNTS})
    return Call(**{name: given[name] for name in _FIELDS}, said=said)
