"""Repeats attempts that failed before anything of an answer was delivered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.call import Call
from gateway.errors import UpstreamError
from gateway.guard import Guard
from gateway.settings import RetrySettings
from gateway.upstream.attempt import Attempt
from gateway.upstream.budget import RetryBudget
from gateway.upstream.pool import Upstream
from gateway.upstream.retry_policy import is_free, wait_before_next


class Retry:
    """An `Attempt`, and more of them while policy and budget allow."""

    def __init__(
        self,
        attempt: Attempt,
        budget: RetryBudget,
        settings: RetrySettings,
        *,
        draw: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._attempt = attempt
        self._budget = budget
        self._settings = settings
        self._draw = draw
        self._sleep = sleep

    async def __call__(self, call: Call, guard: Guard) -> None:
        """Ask and deliver. Raises GatewayError: of the last attempt."""
        model = call.model
        self._budget.asked(model.id)
        tried: list[Upstream] = []
        while True:
            try:
                await self._attempt(call, guard, tried)
                return
            except UpstreamError as error:
                if call.delivered or not await self._again(call, error, tried):
                    raise

    async def _again(self, call: Call, error: UpstreamError, tried: list[Upstream]) -> bool:
        """Wait for the next attempt; False if there is to be none."""
        if call.upstream is not None:
            tried.append(call.upstream)
        others = call.model.pool.others(tried)
        wait = wait_before_next(error, len(tried), self._settings, self._draw(), others=others)
        if wait is None:
            if 1 < self._settings.attempts <= len(tried):
                # The attempts that could help were made: the client's own would multiply them.
                error.retry = False
            return False
        if not is_free(error, others=others) and not await self._budget.take(call.model.id):
            error.retry = False
            return False
        if wait:
            await self._sleep(wait)
        return True
