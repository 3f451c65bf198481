"""Whether and when a failed attempt is repeated; pure."""

from __future__ import annotations

from gateway.errors import (
    NotGoodEnough,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamLost,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnfit,
)
from gateway.settings import RetrySettings

# Another server may do what one can't: know the engine key, serve the model, speak HTTP.
_ELSEWHERE = (
    UpstreamFailed,
    UpstreamBusy,
    UpstreamLost,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnfit,
)


def wait_before_next(
    error: UpstreamError, made: int, settings: RetrySettings, draw: float, *, others: bool
) -> float | None:
    """Seconds until the next attempt, or None where there is to be none.

    Args:
        error: how the last attempt ended, before anything of an answer was delivered.
        made: attempts made so far, at least 1.
        settings: of retries.
        draw: uniform in [0, 1): full jitter, so that callers who failed together don't come back
            together (Brooker, "Exponential Backoff And Jitter", 2015).
        others: a healthy upstream is left that was not tried for this request.
    """
    if isinstance(error, NotGoodEnough):
        return 0.0
    if made >= settings.attempts or not isinstance(error, _ELSEWHERE):
        return None
    if isinstance(error, UpstreamFailed) and error.code != "upstream_error" and not others:
        return None
    if isinstance(error, UpstreamUnfit):
        return 0.0 if others else None
    if isinstance(error, UpstreamUnavailable) and others:
        return 0.0
    wait = draw * min(settings.longest_wait_s, settings.base_s * float(2 ** (made - 1)))
    if isinstance(error, UpstreamBusy) and error.retry_after_s is not None and not others:
        # Sooner is not what was asked for, and for longer the caller can wait by himself.
        if error.retry_after_s > settings.longest_wait_s:
            return None
        return max(wait, error.retry_after_s)
    return wait


def is_free(error: UpstreamError, *, others: bool, moving: bool = False) -> bool:
    """Whether the next attempt draws nothing on the budget.

    It is no further load where nobody was reached, and another is there. Nor is it to go on with an
    answer that was `moving` at another server than the one that was lost with it: what that one
    would have done, the other does. (When an engine dies, all its answers move at once.) The
    repetition of an answer that was not good enough was drawn already.
    """
    if isinstance(error, NotGoodEnough):
        return True
    return others and (moving or isinstance(error, UpstreamUnavailable | UpstreamUnfit))
