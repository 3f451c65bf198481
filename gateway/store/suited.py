"""Whether a Redis is set up for what it holds: keys must stay, answers may go."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from gateway.store.redis import Store, StoreDown, StoreName

_EVERY_S = 60.0


def faults(store: StoreName, info: Mapping[str, Any]) -> list[str]:
    """What is wrong with a Redis for its task, each with its mend; `info` is what INFO says."""
    found = []
    policy = info.get("maxmemory_policy", "noeviction")
    if store == "keys":
        if policy != "noeviction":
            found.append(
                f"it may evict keys and budgets (maxmemory-policy {policy}): set noeviction"
            )
        if info.get("evicted_keys", 0):
            found.append("it has evicted keys: give it more memory, and `r1 keys import` them")
        if not info.get("aof_enabled", 1):
            found.append("what it holds is lost when it stops: set appendonly yes")
    else:
        if policy == "noeviction":
            found.append("it never evicts answers: set maxmemory-policy allkeys-lru")
        if not info.get("maxmemory", 1):
            found.append("its size has no bound: set maxmemory")
    return found


class SuitedWatch:
    """Looks at a Redis now and then, and logs what is wrong with it when that changes."""

    def __init__(
        self, store: Store, logger: logging.Logger, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._store = store
        self._logger = logger
        self._sleep = sleep
        self._told: list[str] = []

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(StoreDown):
                await self._look()
            await self._sleep(_EVERY_S)

    async def _look(self) -> None:
        name = self._store.name
        found = sorted({fault for info in await self._store.info() for fault in faults(name, info)})
        if found != self._told:
            for fault in found:
                fields = {"store": name, "fault": fault}
                self._logger.warning("store_unsuited", extra={"fields": fields})
            self._told = found
