"""How long a model server may be silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from gateway.errors import UpstreamTimeout

_LOOKS = 5
"""While a silence goes on, somebody may turn out to be gone: so many looks in `gone_s`."""


class Patience:
    """Ends the work inside its `async with` by UpstreamTimeout when nothing was heard for long.

    Hearing something costs one assignment: the timer looks, when it is due, how long ago that was.
    """

    __slots__ = (
        "_cancelled",
        "_gone",
        "_gone_s",
        "_heard",
        "_loop",
        "_seconds",
        "_task",
        "_timer",
    )

    def __init__(
        self, seconds: float, *, gone: Callable[[], bool] | None = None, gone_s: float = 0.0
    ) -> None:
        """Args: after `gone_s` of silence `gone` is asked, now and then, whether more would be in
        vain."""
        self._seconds = seconds
        self._gone = gone
        self._gone_s = gone_s
        self._timer: asyncio.TimerHandle
        self._cancelled = False

    def limit(self, seconds: float) -> None:
        """From now on the silence may last so long."""
        self._seconds = seconds
        self.heard()
        self._timer.cancel()
        self._wait()

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
        self._wait()
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
        now = self._loop.time()
        silent_s = now - self._heard
        in_vain = self._gone is not None and silent_s >= self._gone_s and self._gone()
        if silent_s >= self._seconds or in_vain:
            self._cancelled = True
            self._task.cancel()
        else:
            self._wait()

    def _wait(self) -> None:
        """Look again when the silence may have lasted too long."""
        due = self._heard + self._seconds
        if self._gone is not None:
            asked = self._heard + self._gone_s
            now = self._loop.time()
            due = min(due, asked if asked > now else now + self._gone_s / _LOOKS)
        self._timer = self._loop.call_at(due, self._look)
