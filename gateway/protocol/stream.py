"""What turns a model server's stream into the one that the caller gets, event by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from gateway.protocol.continuation import Progress
from gateway.protocol.usage import Usage


class Piece:
    """What one streamed event was: the bytes to send, and what telemetry wants to know."""

    __slots__ = ("content", "data", "end", "tokens")

    def __init__(
        self, data: bytes, tokens: int = 0, content: bool = False, *, end: bool = False
    ) -> None:
        self.data = data
        self.tokens = tokens
        self.content = content
        self.end = end


@dataclass(frozen=True, slots=True)
class Rest:
    """A piece of an answer's only choice that another server gave; `stop` is its stop reason."""

    ids: Sequence[int]
    reasoning: str | None
    content: str | None
    finish: str | None
    stop: Any


END = Piece(b"", end=True)


class StreamTranslator(Protocol):
    """Translates the events of one stream."""

    usage: Usage

    def event(self, data: bytes) -> Piece:
        """One event; the stream's own end is one too. Raises UpstreamFailed or UpstreamRejected."""

    @property
    def finished(self) -> bool:
        """True when every choice has a finish reason."""

    def stop(self, why: str) -> bytes:
        """The events that end the answer here: a normal end, which says `why` beside it."""


@runtime_checkable
class ContinuableStream(StreamTranslator, Protocol):
    """One whose answer can go on at another server, because it has token ids."""

    progress: Progress | None
    """Where what passed is written down, if the answer may have to be continued."""

    def resumed(self, rest: Rest) -> Piece:
        """A piece that another server gave."""

    def closing(self, usage: dict[str, Any]) -> bytes:
        """The usage event of an answer that another server ended."""
