"""Settlements on their way to the store, behind the answers they belong to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from gateway.limits.ledger import TENANTS_NAMED, Ledger, Settlement
from gateway.limits.prices import NANO
from gateway.store.redis import StoreDown
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tenants import OTHER

_BATCH = 50  # one script run, during which Redis does nothing else
_RETRY_S = 0.5
_GATHER_S = 0.005
"""Settlements of so much time share a trip to the store."""


class Settler:
    """Sends settlements in numbered batches, each until the store has taken it, once.

    While the store is away up to `most` wait; more are dropped and counted as store errors.
    """

    def __init__(
        self,
        ledger: Ledger,
        metrics: Metrics,
        worker: str,
        sleep: Callable[[float], Awaitable[None]],
        *,
        most: int = 100_000,
        named: Iterable[str] = (),
    ) -> None:
        """Args: `named` are the tenants that the metrics of this worker name already."""
        self._ledger = ledger
        self._metrics = metrics
        self._worker = worker
        self._sleep = sleep
        self._most = most
        self._waiting: deque[Settlement] = deque()
        self._batch: list[Settlement] = []
        self._number = 0
        self._named = set(named)
        self._work = asyncio.Event()

    def add(self, settlement: Settlement) -> None:
        """Settle this soon."""
        if len(self._waiting) >= self._most:
            self._metrics.store_failed("keys", "settle_dropped")
            return
        self._waiting.append(settlement)
        self._work.set()

    async def run(self) -> None:
        """Send what waits; runs until cancelled."""
        while True:
            await self._work.wait()
            await self._sleep(_GATHER_S)
            try:
                await self._send()
            except StoreDown:
                await self._sleep(_RETRY_S)

    async def flush(self, timeout_s: float) -> None:
        """Send all that is left, if the store takes it in time. Call it when `run` has ended."""
        with suppress(StoreDown, TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._work.is_set():
                    await self._send()

    async def _send(self) -> None:
        if not self._batch:
            self._number += 1
            while self._waiting and len(self._batch) < _BATCH:
                self._batch.append(self._waiting.popleft())
        # A batch whose answer was lost, or not waited for, goes again under its number.
        named = await self._ledger.settle(self._worker, self._number, self._batch)
        for each, own_label in zip(self._batch, named, strict=True):
            if each.usd:
                label = self._label(each.tenant, own_label)
                self._metrics.cost(each.model, label, each.usd / NANO)
        self._batch = []
        if not self._waiting:
            self._work.clear()

    def _label(self, tenant: str, own_label: bool) -> str:
        """The tenant's label in the metrics. One that was given stays, so they are bounded."""
        if tenant not in self._named:
            if not own_label or len(self._named) >= TENANTS_NAMED:
                return OTHER
            self._named.add(tenant)
        return tenant
