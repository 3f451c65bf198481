"""The order of a request. `Pipeline.run` reads from top to bottom; each stage is one object."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from gateway.auth.authenticate import Authenticator
from gateway.auth.permit import permit
from gateway.call import Call
from gateway.errors import DeadlineExceeded, GatewayError, UpstreamTimeout
from gateway.guard import Guard
from gateway.protocol.advice import advise
from gateway.protocol.deadline import waiting
from gateway.protocol.request import parse
from gateway.router import Router
from gateway.settings import Bounds, Listen
from gateway.telemetry.metrics import Metrics


class Limits(Protocol):
    """Named place: request, token and money limits of the key. Around all that follows."""

    def hold(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Reserve on entering, settle with the call's usage on leaving."""


class Cache(Protocol):
    """Answers given before, and those being given right now."""

    async def __call__(self, call: Call, generate: Try) -> None:
        """Deliver an answer: one that is there, or the one that `generate` makes."""


class Try(Protocol):
    """Asking upstreams: attempts, with retry and resume around them.

    Each attempt waits at the model's door (gateway/batching/) for a place at a replica.
    """

    async def __call__(self, call: Call) -> None:
        """Ask an upstream and deliver its answer. Raises UpstreamError."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All stages of a request, in order."""

    listen: Listen
    bounds: Bounds
    authenticate: Authenticator
    router: Router
    metrics: Metrics
    limits: Limits
    cache: Cache
    attempt: Try

    async def run(self, call: Call) -> None:
        """Answer one request. Raises GatewayError or ClientDisconnected."""
        call.check_headers()
        call.key = await self.authenticate(call.credentials())
        raw = await call.read_body(self.listen.max_body_bytes, self.listen.body_timeout_s)
        asked = parse(raw, call.api, max_depth=self.listen.max_json_depth, bounds=self.bounds)
        call.model = self.router.find(asked.model)
        permit(call.key, call.model.settings)
        call.asked = advise(asked, call.model.settings.advice)
        with self.metrics.working(call.model.id):
            async with self._guard(call), self.limits.hold(call):
                await self.cache(call, self.attempt)

    def _guard(self, call: Call) -> Guard:
        """Ends the work when the caller leaves or the time is up; keeps the line alive."""
        stream = call.asked.stream
        given = waiting(
            call.header(b"x-request-timeout"),
            call.header(b"x-stainless-read-timeout"),
            stream=stream,
        )
        call.late_at = call.began + given.total_s
        longest_s = call.model.settings.timeouts.total_s
        too_late: GatewayError = UpstreamTimeout(
            "The answer took longer than the longest one allowed."
        )
        if given.total_s < longest_s:
            too_late = DeadlineExceeded(
                f"The answer was not complete within your time limit of {given.total_s:g} s."
            )
        keepalive_s = self.listen.sse_keepalive_s if stream else self.listen.body_keepalive_s
        return Guard(
            call,
            keepalive_s=min(keepalive_s, given.silence_s / 2),
            total_s=min(longest_s, call.time_left()),
            too_late=too_late,
        )
