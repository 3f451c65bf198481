"""Limits, budgets and usage in the store. Every method raises StoreDown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from gateway.auth.keys import KeyRecord
from gateway.auth.register import USED
from gateway.auth.terms import Terms
from gateway.limits.estimate import Guess
from gateway.limits.lua import RENEW, RESERVE, SETTLE, SPENT
from gateway.limits.prices import nano
from gateway.limits.standing import Standing
from gateway.store.redis import Store

TENANTS_NAMED = 50
"""Tenants with a metrics label of their own: those with the most tokens."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a request really took. Money (`usd`) is in 10^-9 USD."""

    key: str
    tenant: str
    model: str
    requests: int = 0
    cached: int = 0
    """1 for an answer from the answer cache."""
    hit: int = 0
    miss: int = 0
    completion: int = 0
    reasoning: int = 0
    usd: int = 0
    reservation: str = ""
    second: int = 0
    """When the reservation was made, by the store's clock."""
    tokens: int = 0
    """That were reserved."""
    counted: bool = False
    """The key has a limit of tokens."""
    budgeted: bool = False
    """The key has a budget."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a key spent in the current day and month (UTC). Money is in 10^-9 USD."""

    usd_day: int
    usd_month: int
    reasoning_day: int
    reasoning_month: int

    def shares(self, terms: Terms) -> list[float]:
        """How much of each budget that the key has is spent; 1.0 is all of it."""
        pairs = (
            (self.usd_day, None if terms.usd_per_day is None else nano(terms.usd_per_day)),
            (self.usd_month, None if terms.usd_per_month is None else nano(terms.usd_per_month)),
            (self.reasoning_day, terms.reasoning_tokens_per_day),
            (self.reasoning_month, terms.reasoning_tokens_per_month),
        )
        return [spent / budget for spent, budget in pairs if budget is not None]


class Ledger:
    """Reservations, settlements and sums; `lease_s` and `usage_days` as in the settings."""

    def __init__(self, store: Store, *, lease_s: float, usage_days: int) -> None:
        self._store = store
        self._lease_s = lease_s
        self._usage_days = usage_days

    async def reserve(
        self, reservation: str, key: KeyRecord, guess: Guess, tokens: int, usd: int
    ) -> Standing:
        """Reserve a request of a key: tokens of its window, and a part of each of its budgets.

        One trip. Money (`usd`) is in 10^-9 USD.
        """
        terms = key.terms
        words = (
            reservation,
            self._lease_s,
            _number(terms.rpm),
            _number(terms.tpm),
            tokens,
            _number(terms.parallel),
            _number(None if terms.usd_per_day is None else nano(terms.usd_per_day)),
            _number(None if terms.usd_per_month is None else nano(terms.usd_per_month)),
            max(1, usd),
            _number(terms.reasoning_tokens_per_day),
            _number(terms.reasoning_tokens_per_month),
            guess.reasoning,
        )
        keys = (f"r1:window:{key.id}", _live(key.id), f"r1:spent:{key.id}")
        return Standing.read(await self._store.script("reserve", RESERVE, keys, words))

    async def settle(self, worker: str, number: int, batch: Sequence[Settlement]) -> list[bool]:
        """Settle a worker's batch; sending the same `number` again changes nothing.

        Gives for each settlement whether its tenant is among the TENANTS_NAMED largest.
        """
        settlements = orjson.dumps(list(batch)).decode()
        words = (number, self._usage_days, TENANTS_NAMED, settlements)
        keys = (f"r1:settled:{worker}", USED, "r1:tenants", "r1:")
        named = await self._store.script("settle", SETTLE, keys, words)
        return [bool(each) for each in named]

    async def renew(self, running: Sequence[tuple[str, str]]) -> None:
        """Hold on to the reservations of running requests: pairs of key id and reservation."""
        words = [self._lease_s, *(reservation for _, reservation in running)]
        await self._store.script("renew", RENEW, [_live(key) for key, _ in running], words)

    async def spent(self, key_ids: Sequence[str]) -> list[Spent]:
        """What these keys spent."""
        if not key_ids:
            return []
        keys = [f"r1:spent:{key_id}" for key_id in key_ids]
        rows = await self._store.script("spent", SPENT, keys, ())
        return [Spent(*(int(each or 0) for each in row)) for row in rows]


def _live(key_id: str) -> str:
    return f"r1:live:{key_id}"


def _number(limit: int | None) -> int:
    return -1 if limit is None else limit
