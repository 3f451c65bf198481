"""An attempt's stay at an upstream: what it counts there, and what its end tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamLost,
    UpstreamTimeout,
    UpstreamUnavailable,
)

if TYPE_CHECKING:
    from gateway.upstream.pool import Pool, Upstream


class Visit:
    """In flight at `upstream` from its making to `end`, which has to come in every case."""

    __slots__ = ("_error", "_pool", "ticket", "upstream")

    def __init__(self, pool: Pool, upstream: Upstream, now: float) -> None:
        self.upstream = upstream
        self.ticket = upstream.breaker.enter(now)
        self._pool = pool
        self._error: UpstreamError | None = None
        upstream.in_flight += 1
        if self.ticket.probe:
            pool.tell(upstream)

    def answering(self) -> None:
        """The answer began. For an upstream that is being tried again that is enough: the whole
        of it may take minutes."""
        if self.ticket.probe:
            self._pool.answered(self)

    def failed(self, error: UpstreamError) -> None:
        """The attempt failed by `error`."""
        self._error = error

    def end(self, *, worked: bool) -> None:
        """The attempt is over: it `worked`, failed, or neither (its caller left)."""
        self._pool.ended(self, worked=worked, error=self._error)


def is_fault(error: UpstreamError) -> bool:
    """Whether an error speaks against the upstream.

    What the caller has to mend does not, nor does a polite request for patience.
    """
    if isinstance(error, UpstreamBusy):
        return error.status == 503 and error.retry_after_s is None
    return isinstance(error, UpstreamUnavailable | UpstreamTimeout | UpstreamFailed | UpstreamLost)
