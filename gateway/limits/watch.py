"""Counts the keys that will soon stop working: for the gauges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from gateway.auth.keys import KeyRecord
from gateway.auth.register import KeyRegister
from gateway.limits.ledger import Ledger, Spent
from gateway.settings import LimitSettings
from gateway.store.redis import StoreDown
from gateway.telemetry.metrics import Metrics


def count_expiring(records: Sequence[KeyRecord], now: float, within_s: float) -> int:
    """How many keys still work and expire `within_s` seconds from now."""
    ends = [record.terms.expires for record in records if record.terms.expires is not None]
    return sum(now < each <= now + within_s for each in ends)


def count_near(records: Sequence[KeyRecord], spent: Sequence[Spent], ratio: float) -> int:
    """How many keys have spent at least `ratio` of one of their budgets."""
    return sum(
        any(share >= ratio for share in each.shares(record.terms))
        for record, each in zip(records, spent, strict=True)
    )


class KeyWatch:
    """Looks at all keys every `limits.watch_interval_s`."""

    def __init__(
        self,
        register: KeyRegister,
        ledger: Ledger,
        settings: LimitSettings,
        metrics: Metrics,
        *,
        wall: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._register = register
        self._ledger = ledger
        self._settings = settings
        self._metrics = metrics
        self._wall = wall
        self._sleep = sleep

    async def run(self) -> None:
        """Count until cancelled; the last counts stay while the store is away."""
        while True:
            with suppress(StoreDown):
                await self._count()
            await self._sleep(self._settings.watch_interval_s)

    async def _count(self) -> None:
        settings = self._settings
        records = [state.record for state in await self._register.all()]
        budgeted = [record for record in records if record.terms.budgeted]
        spent = await self._ledger.spent([record.id for record in budgeted])
        self._metrics.keys(
            expiring=count_expiring(records, self._wall(), settings.expiring_days * 86400),
            near_budget=count_near(budgeted, spent, settings.near_budget_ratio),
        )
