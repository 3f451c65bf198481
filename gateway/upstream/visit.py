"""An attempt's stay at an upstream: what it counts there, and what its end tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gateway.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamLost,
    UpstreamTimeout,
    UpstreamUnavailable,
)

if TYPE_CHECKING:
    from gateway.protocol.usage import Usage
    from gateway.upstream.pool import Pool, Upstream


class Witness(Protocol):
    """Hears how fast answers come from an upstream."""

    def gap(self, seconds: float, tokens: int) -> None:
        """`tokens` came, `seconds` after those before them."""

    def first(self, seconds: float, body_bytes: int) -> None:
        """The first token came, `seconds` after the place was given, of a request this long."""

    def whole(self, seconds: float, tokens: int) -> None:
        """An answer of so many tokens came in one piece, so long after the place was given."""


class Visit:
    """In flight at `upstream` from its making to `end`, which has to come in every case.

    `span` is its id in the request's trace, `number` its place among the request's attempts,
    `first_s` the time until a streamed answer began, `usage` what an answer that worked took.
    """

    __slots__ = (
        "_error",
        "_left",
        "_pool",
        "asked_bytes",
        "began",
        "first_s",
        "number",
        "span",
        "ticket",
        "upstream",
        "usage",
        "witness",
    )

    def __init__(
        self,
        pool: Pool,
        upstream: Upstream,
        now: float,
        witness: Witness | None = None,
        left: Callable[[], None] | None = None,
    ) -> None:
        """Args: `witness` hears what the caller sees; `left` is called at the end."""
        self.upstream = upstream
        self.began = now
        self.asked_bytes = 0
        self.first_s: float | None = None
        self.usage: Usage | None = None
        self.witness = witness
        self.ticket = upstream.breaker.enter(now)
        self._pool = pool
        self.span = ""
        self.number = 1
        self._left = left
        self._error: UpstreamError | None = None
        upstream.in_flight += 1
        if self.ticket.probe:
            pool.tell(upstream)

    def answering(self) -> None:
        """The answer began. For an upstream that is being tried again that is enough: the whole
        of it may take minutes."""
        if self.ticket.probe:
            self._pool.answered(self)
        self.first_s = self._pool.now() - self.began
        if self.witness is not None:
            self.witness.first(self.first_s, self.asked_bytes)

    def answered(self, usage: Usage) -> None:
        """The answer came in one piece, and took this."""
        self.usage = usage
        if self.witness is not None:
            self.witness.whole(self._pool.now() - self.began, usage.completion)

    def failed(self, error: UpstreamError) -> None:
        """The attempt failed by `error`."""
        self._error = error

    def end(self, *, worked: bool) -> None:
        """The attempt is over: it `worked`, failed, or neither (its caller left)."""
        self._pool.ended(self, worked=worked, error=self._error)
        if self._left is not None:
            self._left()


def is_fault(error: UpstreamError) -> bool:
    """Whether an error speaks against the upstream.

    What the caller has to mend does not, nor does a polite request for patience.
    """
    if isinstance(error, UpstreamBusy):
        return error.status == 503 and error.retry_after_s is None
    return isinstance(error, UpstreamUnavailable | UpstreamTimeout | UpstreamFailed | UpstreamLost)
