"""Repeats attempts that failed, and continues answers that were cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.call import Call
from gateway.errors import UpstreamError
from gateway.settings import RetrySettings
from gateway.telemetry.metrics import Metrics
from gateway.upstream.attempt import Attempt
from gateway.upstream.budget import RetryBudget
from gateway.upstream.delivery import Delivery
from gateway.upstream.pool import Upstream
from gateway.upstream.retry_policy import is_free, wait_before_next


class Retry:
    """An `Attempt`, and more of them while policy, budget and deadline allow."""

    def __init__(
        self,
        attempt: Attempt,
        budget: RetryBudget,
        settings: RetrySettings,
        metrics: Metrics,
        *,
        draw: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._attempt = attempt
        self._budget = budget
        self._settings = settings
        self._metrics = metrics
        self._draw = draw
        self._sleep = sleep

    async def __call__(self, call: Call) -> None:
        """Ask and deliver. Raises GatewayError: of the last attempt."""
        model = call.model
        self._budget.asked(model.id)
        delivery = Delivery(call, self._metrics)
        tried: list[Upstream] = []
        while True:
            before = delivery.tokens
            try:
                await self._attempt(call, delivery, tried)
                break
            except UpstreamError as error:
                moving = delivery.begun and delivery.tokens > before
                if moving:
                    # The answer went on: what failed earlier is forgotten.
                    tried.clear()
                    delivery.resumes += 1
                if not await self._again(call, delivery, error, tried, moving=moving):
                    if call.delivered:
                        outcome = "failed" if delivery.begun else "refused"
                        self._metrics.resumed(model.id, outcome)
                    raise
        if delivery.resumes:
            call.resumes = delivery.resumes
            self._metrics.resumed(model.id, "ok")

    async def _again(
        self,
        call: Call,
        delivery: Delivery,
        error: UpstreamError,
        tried: list[Upstream],
        *,
        moving: bool,
    ) -> bool:
        """Wait for the next attempt; False if there is to be none.

        `moving`: the answer went on in the last one, and has to go on elsewhere.
        """
        if call.delivered and not delivery.begun:
            return False
        if delivery.resumes > self._settings.resumes:
            return False
        if call.upstream is not None:
            tried.append(call.upstream)
        others = call.model.pool.others(tried)
        wait = wait_before_next(error, len(tried), self._settings, self._draw(), others=others)
        if wait is None or wait >= call.time_left():
            if 1 < self._settings.attempts <= len(tried):
                # The attempts that could help were made: the client's own would multiply them.
                error.retry = False
            return False
        free = is_free(error, others=others, moving=moving)
        if not free and not await self._budget.take(call.model.id):
            error.retry = False
            return False
        if wait:
            await self._sleep(wait)
        return True
