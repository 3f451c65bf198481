"""What watches over a request while it is worked on: the caller, the clock, the silence."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType

from gateway.call import Call
from gateway.errors import ClientDisconnected, GatewayError, UpstreamTimeout


class Guard:
    """Ends the work inside its `async with` when there is no more point in it.

    The caller left: ClientDisconnected. The answer took `total_s`, or the upstream was silent
    for longer than `allow_silence` says: UpstreamTimeout. While the work goes on and nothing
    was sent for `keepalive_s`, it makes the call send a sign of life.
    """

    def __init__(self, call: Call, *, keepalive_s: float, total_s: float) -> None:
        self._call = call
        self._keepalive_s = keepalive_s
        self._total_s = total_s
        self._silence_s: float | None = None
        self._heard = 0.0
        self._end: ClientDisconnected | GatewayError | None = None
        self._sign: asyncio.Task[None] | None = None

    def allow_silence(self, seconds: float) -> None:
        """From now on the upstream may be silent for so long."""
        self._silence_s = seconds
        self._heard = self._loop.time()
        self._arm()

    def heard(self) -> None:
        """The upstream sent something."""
        self._heard = self._loop.time()

    async def __aenter__(self) -> Guard:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a Guard needs a task")
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._sent = self._began
        self._watch = asyncio.create_task(self._wait_for_disconnect())
        self._timer = self._loop.call_later(self._keepalive_s, self._tick)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._watch.cancel()
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

    async def _wait_for_disconnect(self) -> None:
        await self._call.disconnected()
        self._stop(ClientDisconnected())

    def _stop(self, end: ClientDisconnected | GatewayError) -> None:
        if self._end is None:
            self._end = end
            # The work may take a while to end; nobody is left for signs of life.
            self._timer.cancel()
            self._task.cancel()

    def _arm(self) -> None:
        self._timer.cancel()
        now = self._loop.time()
        due = [self._began + self._total_s, now + self._keepalive_s - self._quiet_for()]
        if self._silence_s is not None:
            due.append(self._heard + self._silence_s)
        self._timer = self._loop.call_at(max(min(due), now + 0.005), self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        if now - self._began >= self._total_s:
            self._stop(UpstreamTimeout("The answer took longer than the longest one allowed."))
            return
        if self._silence_s is not None and now - self._heard >= self._silence_s:
            self._stop(UpstreamTimeout("The model server was silent for too long."))
            return
        if self._quiet_for() >= self._keepalive_s and (self._sign is None or self._sign.done()):
            self._sign = asyncio.create_task(self._call.keep_alive())
        self._arm()

    def _quiet_for(self) -> float:
        """Seconds since the caller last heard something of us."""
        return self._call.silent_for()
