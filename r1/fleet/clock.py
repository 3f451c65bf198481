"""An event loop whose clock jumps to the next thing that is due: an hour passes in seconds."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
_TICK_S = 1e-9
"""What a turn of the loop takes. asyncio calls a timer up to this early, and a clock that stood
still would let code which finds itself too early ask for the rest again and again."""


class _Jump(selectors.SelectSelector):
    """Instead of waiting, moves the clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("everything waits, and nothing is due")
        self.now += max(_TICK_S, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio in virtual time, for code that waits for timers and for itself alone."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._jump.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns, as fast as its work can be done."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
