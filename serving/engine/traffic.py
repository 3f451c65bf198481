"""The requests of one replica: how many there are, how often they come, how long they take."""

import math
from collections import deque
from collections.abc import Awaitable, Callable

from serving.engine.warmup import ASGIApp, Message, Scope

# Ended requests whose times are remembered.
REMEMBERED = 64
# Standard deviations of a Poisson count by which a rate is taken to be lower than it looks.
CAUTION = 2.0


class Traffic:
    """Counts requests. Times are seconds of the clock that is handed in."""

    def __init__(self, now: Callable[[], float], window_s: float = 30.0) -> None:
        """Args: arrivals are counted over the last `window_s`."""
        self._now = now
        self._window_s = window_s
        self._since = now()
        self._arrivals: deque[float] = deque()
        self._durations: deque[float] = deque(maxlen=REMEMBERED)
        self.in_flight = 0

    def came(self) -> float:
        """Count one that comes; its time, for `left`."""
        self.in_flight += 1
        now = self._now()
        self._arrivals.append(now)
        self._forget(now)
        return now

    def left(self, came: float) -> None:
        """Count the end of one that came then."""
        self.in_flight -= 1
        self._durations.append(self._now() - came)

    @property
    def arrivals(self) -> int:
        """Requests that came in the window."""
        self._forget(self._now())
        return len(self._arrivals)

    @property
    def sure_rate(self) -> float:
        """Arrivals a second, less what chance may have added to so few of them.

        Where an answer takes ten windows, each arrival looks like ten requests in flight.
        """
        arrivals = self.arrivals
        seconds = max(1.0, min(self._window_s, self._now() - self._since))
        return max(0.0, arrivals - CAUTION * math.sqrt(arrivals)) / seconds

    @property
    def service_s(self) -> float:
        """Mean time of the last requests that ended; 0 while none has."""
        return sum(self._durations) / len(self._durations) if self._durations else 0.0

    @property
    def offered(self) -> float:
        """Requests in flight that such a rate comes to in the long run (Little's law)."""
        return self.sure_rate * self.service_s

    def _forget(self, now: float) -> None:
        while self._arrivals and self._arrivals[0] <= now - self._window_s:
            self._arrivals.popleft()


OWN = b"x-r1-own"
"""Header of what a gateway asks for itself: it is no reason to keep a replica, or to add one."""


class Counted:
    """ASGI middleware that counts what asks the engine to work for callers: every other POST."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app = app
        self._traffic = traffic

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Handle one request."""
        if (
            scope["type"] != "http"
            or scope["method"] != "POST"
            or any(name == OWN for name, _ in scope.get("headers", ()))
        ):
            await self.app(scope, receive, send)
            return
        came = self._traffic.came()
        try:
            await self.app(scope, receive, send)
        finally:
            self._traffic.left(came)
