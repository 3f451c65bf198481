"""The rhythm of a stream: first token, first content, the gaps between tokens."""

from __future__ import annotations

from gateway.call import Call
from gateway.telemetry.metrics import Metrics


class Pulse:
    """Tells the metrics of the tokens of one stream as they pass."""

    __slots__ = ("_call", "_content", "_gaps", "_last", "_metrics")

    def __init__(self, call: Call, metrics: Metrics) -> None:
        self._call = call
        self._metrics = metrics
        self._gaps = metrics.token_gaps(call.model.id)
        self._last: float | None = None
        self._content = False

    def beat(self, tokens: int, *, content: bool, prompt: int) -> None:
        """`tokens` more passed; `content` if they are not (only) reasoning."""
        now = self._call.elapsed()
        if self._last is None:
            self._call.first_token_s = now
            self._metrics.first_token(self._call.model.id, self._call.cache_result, prompt, now)
        else:
            self._gaps.observe((now - self._last) / tokens, tokens)
        self._last = now
        if content and not self._content:
            self._content = True
            self._metrics.first_content(self._call.model.id, now)
