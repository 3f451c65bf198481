"""Tells a model's replicas how many requests have none yet (docs/architecture.md).

An autoscaler that counts what replicas work on never learns of a queue in front of them: the
window keeps it there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.store.redis import Store, StoreDown

_LASTS_S = 10
_TELL = """
local expiry = tonumber(redis.call('TIME')[1]) + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d', expiry, ARGV[2]))
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""


class Demand:
    """Of one model, in one worker."""

    def __init__(
        self,
        store: Store,
        model: str,
        worker: str,
        waiting: Callable[[], int],
        interval_s: float,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Args: `worker` is unique in the fleet; `waiting` counts the worker's own requests."""
        self._store = store
        self._key = f"r1:demand:{model}"
        self._worker = worker
        self._waiting = waiting
        self._interval_s = interval_s
        self._sleep = sleep

    async def run(self) -> None:
        """Tell while somebody waits, and once that nobody does any more, until cancelled."""
        told = 0
        while True:
            waiting = self._waiting()
            if waiting or told:
                with suppress(StoreDown):
                    words = (self._worker, waiting, _LASTS_S)
                    await self._store.script("demand", _TELL, (self._key,), words)
                    told = waiting
            await self._sleep(self._interval_s)
