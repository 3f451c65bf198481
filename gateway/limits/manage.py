"""Usage for other programs: read from a Redis URL, in a plain blocking call."""

from __future__ import annotations

import asyncio
from datetime import date

from gateway.auth.manage import NoWatcher
from gateway.limits import usage
from gateway.store.redis import Store


def read_usage(
    url: str, first: date, last: date, key_id: str | None = None
) -> list[usage.UsageRow]:
    """The usage from `first` to `last`, of one key or of all.

    Raises StoreDown, or ValueError if the days are the wrong way round or too many.
    """
    days = usage.days_between(first, last)

    async def run() -> list[usage.UsageRow]:
        store = Store(url, timeout_s=5.0, watcher=NoWatcher())
        try:
            return await usage.read(store, days, key_id)
        finally:
            await store.close()

    return asyncio.run(run())
