"""The reservations of the requests that run in this worker, kept alive in the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.limits.ledger import Ledger
from gateway.store.redis import StoreDown

_AT_ONCE = 500


class Leases:
    """Renews each reservation three times in `lease_s`; those of a dead worker expire."""

    def __init__(
        self, ledger: Ledger, sleep: Callable[[float], Awaitable[None]], *, lease_s: float
    ) -> None:
        self._ledger = ledger
        self._sleep = sleep
        self._pause_s = lease_s / 3
        self._running: dict[str, str] = {}

    def add(self, reservation: str, key_id: str) -> None:
        """A request runs."""
        self._running[reservation] = key_id

    def drop(self, reservation: str) -> None:
        """It has ended."""
        self._running.pop(reservation, None)

    async def run(self) -> None:
        """Renew until cancelled. What can't be renewed while the store is away is let go."""
        while True:
            await self._sleep(self._pause_s)
            running = [(key_id, reservation) for reservation, key_id in self._running.items()]
            try:
                for first in range(0, len(running), _AT_ONCE):
                    await self._ledger.renew(running[first : first + _AT_ONCE])
            except StoreDown:
                continue
