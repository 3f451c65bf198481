"""What flights are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.cache.board import Board
from gateway.call import Call
from gateway.settings import CacheSettings

Generate = Callable[[Call], Awaitable[None]]
"""Makes an answer for a call and delivers it there."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer is kept and for how long: fresh for `ttl_s`, then stale for `stale_s`."""

    key: str
    ttl_s: float
    stale_s: float


@dataclass(frozen=True, slots=True)
class Means:
    """What flights need. `now` is the time since 1970, `draw` uniform in [0, 1)."""

    board: Board
    settings: CacheSettings
    now: Callable[[], float]
    draw: Callable[[], float]
    make_id: Callable[[], str]
