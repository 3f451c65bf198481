"""W3C trace context: what a request's trace is, and how the next on the way is told. Pure.

https://www.w3.org/TR/trace-context/. A `traceparent` is
`<version>-<trace id, 32 hex>-<span id, 16 hex>-<flags, 2 hex>`. One that is wrong, or there twice,
is as if it were not there, and its `tracestate` with it. `baggage` goes no further than here: it is
the caller's own, and may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Bits = Callable[[int], int]
"""Gives an integer of so many random bits."""

SAMPLED = 1
# The sampled flag, and the second level's for a trace id that is random; others are not known.
_FLAGS = 3
_STATE_CHARS = 512
_STATE_MEMBERS = 32

_PARENT = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    rb"(?P<more>-.*)?",
    re.DOTALL,
)
_MEMBER = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


@dataclass(frozen=True, slots=True)
class Trace:
    """A request's place in a trace; `span` is the gateway's own, `parent` its caller's."""

    id: str
    span: str
    parent: str | None = None
    flags: int = 0
    state: str = ""

    @property
    def sampled(self) -> bool:
        """Whether those on the way are to record what they do."""
        return bool(self.flags & SAMPLED)

    @property
    def pointer(self) -> Trace | None:
        """This trace if somebody records it: then a measurement may point to it."""
        return self if self.flags & SAMPLED else None

    def headers(self, span: str) -> dict[str, str]:
        """What tells the next on the way; `span` is that of the call to it."""
        if not self.id:
            return {}
        headers = {"traceparent": f"00-{self.id}-{span}-{self.flags:02x}"}
        if self.state:
            headers["tracestate"] = self.state
        return headers


UNTRACED = Trace("", "")
"""That of a call which nobody traces."""


def follow(headers: Sequence[tuple[bytes, bytes]], bits: Bits, sample: Callable[[], bool]) -> Trace:
    """The trace that a request with these headers (names in lower case) belongs to.

    Args:
        headers: of the request.
        bits: gives random bits for new ids.
        sample: whether a trace that begins here is to be recorded.
    """
    parents = [value for name, value in headers if name == b"traceparent"]
    found = _PARENT.fullmatch(parents[0].strip(b" \t")) if len(parents) == 1 else None
    if found is None or not _valid(found):
        return Trace(_id(bits, 128), new_span(bits), flags=SAMPLED if sample() else 0)
    return Trace(
        id=found["trace"].decode(),
        span=new_span(bits),
        parent=found["span"].decode(),
        flags=int(found["flags"], 16) & _FLAGS,
        state=_state([value for name, value in headers if name == b"tracestate"]),
    )


def new_span(bits: Bits) -> str:
    """An id for a span."""
    return _id(bits, 64)


def _id(bits: Bits, size: int) -> str:
    # All zero is no id.
    return f"{bits(size) or 1:0{size // 4}x}"


def _valid(parent: re.Match[bytes]) -> bool:
    if parent["version"] == b"ff" or (parent["version"] == b"00" and parent["more"]):
        return False
    return parent["trace"].strip(b"0") != b"" and parent["span"].strip(b"0") != b""


def _state(values: list[bytes]) -> str:
    """The `tracestate` as it came, several joined in their order; empty if it is not valid."""
    try:
        text = ",".join(value.decode("ascii").strip(" \t") for value in values)
    except UnicodeDecodeError:
        return ""
    members = [member for each in text.split(",") if (member := each.strip(" \t"))]
    if not members or len(text) > _STATE_CHARS or len(members) > _STATE_MEMBERS:
        return ""
    if not all(_MEMBER.fullmatch(member) for member in members):
        return ""
    keys = {member.partition("=")[0] for member in members}
    return text if len(keys) == len(members) else ""
