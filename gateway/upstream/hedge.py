"""Hedging: a slow short call is asked a second time, of another server; who answers first wins.

Where most calls are answered at once and a few are not (a server that collects garbage, a bad
host), the few are what users notice. A second question after a pause that most answers don't need
costs little (Dean and Barroso, "The Tail at Scale", 2013). It is further load, so it draws on the
retry budget, and only calls whose answers are short are worth it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from gateway.call import Call
from gateway.model_settings import HedgeSettings
from gateway.protocol.request import Asked
from gateway.upstream.budget import RetryBudget
from gateway.upstream.pool import Upstream

T = TypeVar("T")
Ask = Callable[[Sequence[Upstream]], Awaitable[T]]
"""Asks one upstream, if possible not one of these."""


class Hedge:
    """Asks, and asks another one when the first is slow."""

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget

    async def __call__(self, call: Call, tried: Sequence[Upstream], ask: Ask[T]) -> T:
        """The first answer. Raises what `ask` raises: of the last one, when all failed."""
        pause_s = pause_before_hedge(call.asked, call.model.settings.hedge)
        if pause_s is None:
            return await ask(tried)

        async def second() -> Callable[[], Awaitable[T]] | None:
            beyond = [*tried, *([call.upstream] if call.upstream is not None else [])]
            if not call.model.pool.others(beyond) or not await self._budget.take(call.model.id):
                return None
            return partial(ask, beyond)

        return await race(partial(ask, tried), second, pause_s)


def pause_before_hedge(asked: Asked, settings: HedgeSettings | None) -> float | None:
    """Seconds without an answer after which another server is asked; None: never. Pure."""
    if settings is None or asked.stream:
        return None
    if asked.max_tokens is None or asked.max_tokens > settings.max_tokens:
        return None
    return settings.after_s


async def race(
    first: Callable[[], Awaitable[T]],
    second: Callable[[], Awaitable[Callable[[], Awaitable[T]] | None]],
    pause_s: float,
) -> T:
    """The first result of two; the other one is cancelled.

    Args:
        first: begins at once.
        second: asked after `pause_s` without a result for the call that joins; None: none may.
        pause_s: seconds.

    Raises:
        Exception: of the one that failed last, when both did.
    """
    running = {asyncio.ensure_future(first())}
    everybody = set(running)
    try:
        done, _ = await asyncio.wait(running, timeout=pause_s)
        if not done and (joining := await second()) is not None:
            running.add(asyncio.ensure_future(joining()))
            everybody |= running
        while True:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if each.exception() is None or not running:
                    return each.result()
    finally:
        for each in everybody:
            each.cancel()
        await asyncio.gather(*everybody, return_exceptions=True)
