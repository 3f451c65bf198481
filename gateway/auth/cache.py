"""The local memory of keys that were looked up. Pure: the clock is passed in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from gateway.auth.keys import KeyRecord


@dataclass(frozen=True, slots=True)
class Remembered:
    """A look-up's result: `record` is None for a key that does not exist."""

    record: KeyRecord | None
    at: float


class KeyCache:
    """At most `size` results, least recently used out first.

    A result is fresh for `ttl_s` (unknown keys: at most `unknown_ttl_s`, so that a key made
    just now works soon) and usable for `stale_s` more while the store is down.
    """

    def __init__(
        self, *, size: int, ttl_s: float, stale_s: float, unknown_ttl_s: float = 2.0
    ) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._unknown_ttl_s = min(ttl_s, unknown_ttl_s)
        self._stale_s = stale_s
        self._entries: OrderedDict[str, Remembered] = OrderedDict()
        self._trusted_since = float("-inf")

    def fresh(self, address: str, now: float, *, ttl_s: float | None = None) -> Remembered | None:
        """The result at `address` if it is young enough; `ttl_s` may only shorten that."""
        entry = self._entries.get(address)
        if entry is None:
            return None
        limit = self._ttl_s if entry.record is not None else self._unknown_ttl_s
        if ttl_s is not None:
            limit = min(limit, ttl_s)
        if now - entry.at >= limit or entry.at < self._trusted_since:
            return None
        self._entries.move_to_end(address)
        return entry

    def stale(self, address: str, now: float) -> KeyRecord | None:
        """The known key at `address`, for use while the store is down."""
        entry = self._entries.get(address)
        if entry is None or entry.record is None:
            return None
        return entry.record if now - entry.at < self._ttl_s + self._stale_s else None

    def put(self, address: str, record: KeyRecord | None, now: float) -> None:
        """Remember a look-up."""
        self._entries[address] = Remembered(record, now)
        self._entries.move_to_end(address)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def forget(self, address: str) -> None:
        """Drop one result."""
        self._entries.pop(address, None)

    def distrust(self, now: float) -> None:
        """From now on no result from before `now` is fresh; they stay usable as stale."""
        self._trusted_since = now

    def __len__(self) -> int:
        return len(self._entries)
