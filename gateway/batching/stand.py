"""A replica as one worker's door sees it: its places, and what its users see."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from gateway.batching.board import Place
from gateway.batching.strain import bucket
from gateway.batching_settings import Batching
from gateway.upstream.pool import Upstream

_RECENT = 8
_SHORT_PROMPT_BYTES = 8192
"""Of a body whose prompt is about 2k tokens; the TTFT's target is for those."""


class Stand:
    """Places at one replica. `used` by requests of this worker, out of `held`."""

    def __init__(self, upstream: Upstream, settings: Batching, window: float) -> None:
        self.upstream = upstream
        self.window = window
        self.total = 0
        """Places that all workers hold."""
        self.held = 0
        self.used = 0
        self._over = 0
        self.elsewhere = 0
        """Requests of other workers, as far as is known."""
        self.recent: deque[bytes] = deque(maxlen=_RECENT)
        """Prefixes of those who came last: their blocks are in the cache."""
        self._itl_s = settings.itl_s
        self._ttft_s = settings.ttft_s
        self._gaps: dict[int, list[float]] = {}
        self._firsts: dict[int, list[float]] = {}

    @property
    def idle(self) -> int:
        """Places held for nobody yet."""
        return max(0, self.held - self.used)

    @property
    def room(self) -> int:
        """Places that nobody holds."""
        return max(0, int(self.window) - self.total)

    def stands(self, place: Place) -> None:
        """The board says so."""
        self.window, self.total, self.held = place.window, place.total, place.held
        over = self.total - int(self.window)
        # A window that shrank: our part of the places to be given up.
        self._over = math.ceil(over * self.held / self.total) if over > 0 else 0

    def left(self) -> None:
        """A request of this worker has ended."""
        self.used -= 1
        if self._over:
            self._over -= 1
            self.held -= 1

    def gap(self, seconds: float, tokens: int) -> None:
        """`tokens` came, `seconds` after those before them."""
        self._count(self._gaps, seconds / tokens / self._itl_s, tokens)

    def first(self, seconds: float, body_bytes: int) -> None:
        """The first token came, `seconds` after the place was given."""
        if body_bytes <= _SHORT_PROMPT_BYTES:
            self._count(self._firsts, seconds / self._ttft_s, 1)

    def whole(self, seconds: float, tokens: int) -> None:
        """An answer came in one piece: in the time that is right for its length, or not."""
        self._count(self._firsts, seconds / (self._ttft_s + tokens * self._itl_s), 1)

    def told(self) -> dict[str, Any] | None:
        """What was seen since the last time; None for nothing."""
        if not self._gaps and not self._firsts:
            return None
        told = {"gaps": self._gaps, "firsts": self._firsts}
        self._gaps, self._firsts = {}, {}
        return told

    def _count(self, counts: dict[int, list[float]], ratio: float, times: int) -> None:
        inside = times * (self.used + self.elsewhere)
        counted = counts.get(place := bucket(ratio))
        if counted is None:
            counts[place] = [times, inside]
        else:
            counted[0] += times
            counted[1] += inside
