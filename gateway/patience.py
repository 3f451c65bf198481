"""How long a model server may be silent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType

from gateway.errors import UpstreamTimeout


class Patience:
    """Ends the work inside its `async with` by UpstreamTimeout when nothing was heard for long.

    Hearing something costs one assignment: the timer looks, when it is due, how long ago that was.
    """

    __slots__ = ("_cancelled", "_heard", "_loop", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle
        self._cancelled = False

    def limit(self, seconds: float) -> None:
        """From now on the silence may last so long."""
        self._seconds = seconds
        self.heard()
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._look)

    def heard(self) -> None:
        """The model server sent something."""
        self._heard = self._loop.time()

    async def __aenter__(self) -> Patience:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Patience needs a task")
        self._task = task
        self._loop = asyncio.get_running_loop()
        self.heard()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if not self._cancelled:
            return
        if not isinstance(error, asyncio.CancelledError):
            # The work ended by itself just now: take the cancellation that is still to come.
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            if self._task.uncancel() > 0:
                raise asyncio.CancelledError
        elif self._task.uncancel() == 0:
            raise UpstreamTimeout("The model server was silent for too long.") from None

    def _look(self) -> None:
        due = self._heard + self._seconds
        if self._loop.time() >= due:
            self._cancelled = True
            self._task.cancel()
        else:
            self._timer = self._loop.call_at(due, self._look)
