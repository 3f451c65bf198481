"""Usage for other programs: read from a Redis URL, in a plain blocking call."""

from __future__ import annotations

from datetime import date

from gateway.limits import usage
from gateway.store.once import with_store


def read_usage(
    url: str, first: date, last: date, key_id: str | None = None
) -> list[usage.UsageRow]:
    """The usage from `first` to `last`, of one key or of all.

    Raises StoreDown, or ValueError if the days are the wrong way round or too many.
    """
    days = usage.days_between(first, last)
    return with_store(url, lambda store: usage.read(store, days, key_id))
