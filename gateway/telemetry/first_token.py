"""When the time to a stream's first token is counted, once a stream.

It is counted by the prompt's uncached tokens, and how many of them were cached is told with the
usage, at the stream's end. A short prompt is in the first bucket whatever comes: its time, which
alarms go by, is counted at once, and that of a longer prompt at the end. Where the end never comes
nothing is known to have been cached.
"""

from __future__ import annotations

from gateway.call import Call
from gateway.telemetry.metrics import SHORT_PROMPT, Metrics


def sent(call: Call, metrics: Metrics) -> None:
    """The first token was sent."""
    if 0 < call.usage.prompt <= SHORT_PROMPT:
        count(call, metrics, call.usage.prompt)


def over(call: Call, metrics: Metrics) -> None:
    """The request is over."""
    usage = call.usage
    # The engine computes at least the last token of a prompt.
    count(call, metrics, usage.prompt and max(1, usage.prompt - usage.cached))


def count(call: Call, metrics: Metrics, uncached: int) -> None:
    """Count it for a prompt of `uncached` tokens (0: not known), if there is one to count yet."""
    if call.first_token_s is None or call.first_token_counted:
        return
    call.first_token_counted = True
    metrics.first_token(
        call.model.id, call.cache_result, uncached, call.first_token_s, call.trace.pointer
    )
