"""The rhythm of a stream: first token, first content, the gaps between tokens."""

from __future__ import annotations

from gateway.call import Call
from gateway.telemetry.metrics import Metrics
from gateway.upstream.visit import Witness


class Pulse:
    """Tells the metrics of the tokens of one stream as they pass."""

    __slots__ = (
        "_call",
        "_content",
        "_gaps",
        "_last",
        "_metrics",
        "_moved",
        "_trace",
        "_witness",
    )

    def __init__(self, call: Call, metrics: Metrics, witness: Witness | None) -> None:
        """Args: `witness` hears how fast the upstream is."""
        self._call = call
        self._metrics = metrics
        self._gaps = metrics.token_gaps(call.model.id)
        self._trace = call.trace.pointer
        self._last: float | None = None
        self._witness = witness
        self._moved = False
        self._content = False

    def move(self, witness: Witness | None) -> None:
        """What comes now is from another upstream."""
        self._witness = witness
        self._moved = True

    def beat(self, tokens: int, *, content: bool) -> None:
        """`tokens` more came, together; `content` if they are not (only) reasoning."""
        now = self._call.elapsed()
        if self._last is not None:
            self._gaps.observe((now - self._last) / tokens, tokens, self._trace)
            if self._witness is not None and not self._moved:
                self._witness.gap(now - self._last, tokens)
        else:
            if not self._call.first_token_counted:
                self._call.first_token_s = now
            if tokens > 1:
                self._gaps.observe(0.0, tokens - 1)
        self._last = now
        self._moved = False
        if content and not self._content:
            self._content = True
            self._metrics.first_content(self._call.model.id, now, self._trace)
