"""What watches over a request while it is worked on: the caller and the clock."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType

from gateway.call import Call
from gateway.errors import ClientDisconnected, GatewayError


class Guard:
    """Ends the work inside its `async with` when there is no more point in it.

    The caller left: ClientDisconnected. The work took `total_s`: the error `too_late`. While it
    goes on and nothing was sent for `keepalive_s`, the call sends a sign of life.
    """

    def __init__(
        self, call: Call, *, keepalive_s: float, total_s: float, too_late: GatewayError
    ) -> None:
        self._call = call
        self._keepalive_s = keepalive_s
        self._total_s = total_s
        self._too_late = too_late
        self._end: ClientDisconnected | GatewayError | None = None
        self._sign: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a Guard needs a task")
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._late_at = self._loop.time() + self._total_s
        self._unwatch = self._call.when_left(self._left)
        self._timer = self._loop.call_later(min(self._keepalive_s, self._total_s), self._tick)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._unwatch()
        if self._sign is not None:
            self._sign.cancel()
        if self._end is None:
            return
        if not isinstance(error, asyncio.CancelledError):
            # The work ended by itself just now: take the cancellation that is still to come.
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        self._task.uncancel()
        raise self._end from None

    def _left(self) -> None:
        # Who has the whole answer may leave: OpenAI's clients do at a stream's last event.
        if not self._call.complete:
            self._stop(ClientDisconnected())

    def _stop(self, end: ClientDisconnected | GatewayError) -> None:
        if self._end is None:
            self._end = end
            # The work may take a while to end; nobody is left for signs of life.
            self._timer.cancel()
            self._task.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        if now >= self._late_at:
            self._stop(self._too_late)
            return
        # Seconds since the caller last heard something of us.
        quiet = self._call.silent_for()
        pause_s = self._keepalive_s - quiet
        if pause_s <= 0:
            if self._sign is None or self._sign.done():
                self._sign = asyncio.create_task(self._call.keep_alive())
            # Behind a slow reader nothing can be sent for long: look again no sooner than this.
            pause_s = self._keepalive_s
        due = min(self._late_at, now + pause_s)
        self._timer = self._loop.call_at(max(due, now + 0.005), self._tick)
