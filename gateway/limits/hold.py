"""The stage that holds a request to its key's limits and budgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.auth.keys import KeyRecord
from gateway.call import Call
from gateway.limits.estimate import Estimates, Guess
from gateway.limits.leases import Leases
from gateway.limits.ledger import Ledger, Settlement
from gateway.limits.prices import cost
from gateway.limits.settler import Settler
from gateway.limits.standing import PARALLEL, Standing, too_large
from gateway.protocol.request import OPENAI_CHUNKS
from gateway.protocol.usage import Usage
from gateway.store.redis import StoreDown

# Answers from the cache, which took no tokens of a model.
_FROM_CACHE = ("hit", "stale", "coalesced")
# A place is given back behind the answer: who asks again at once may be faster than that.
_WAITS_FOR_A_PLACE_S = (0.02, 0.08)


@dataclass(frozen=True, slots=True)
class _Held:
    """What was reserved for a request; nothing for a key without limits."""

    reservation: str = ""
    second: int = 0
    tokens: int = 0


class KeyLimits:
    """Reserves in one trip to the store before the answer and settles behind it.

    A key without limits costs no trip before the answer. While the store is away everyone
    passes.
    """

    def __init__(
        self,
        ledger: Ledger,
        settler: Settler,
        leases: Leases,
        estimates: Estimates,
        *,
        make_id: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._ledger = ledger
        self._settler = settler
        self._leases = leases
        self._estimates = estimates
        self._make_id = make_id
        self._sleep = sleep

    @asynccontextmanager
    async def hold(self, call: Call) -> AsyncIterator[None]:
        """Hold what the request may take. Raises RateLimited or BudgetSpent on entering."""
        key = call.key
        if key is None:
            raise RuntimeError("the key was not checked yet")
        held = await self._reserve(call, key) if key.terms.bounded else _Held()
        whole = False
        try:
            yield
            whole = True
        finally:
            self._settle(call, key, held, whole)

    async def _reserve(self, call: Call, key: KeyRecord) -> _Held:
        asked, model = call.asked, call.model
        if asked.api == "count_tokens":
            guess = Guess(0, 0, 0)
        else:
            guess = self._estimates.guess(
                key.id, model.id, len(asked.raw), asked.max_tokens, _answers(call)
            )
        refusal = too_large(key.terms, guess.prompt)
        if refusal is not None:
            raise refusal
        tokens = guess.tokens if key.terms.tpm is None else min(guess.tokens, key.terms.tpm)
        expected = Usage(prompt=guess.prompt, completion=guess.answer)
        usd = cost(expected, model.settings.prices)
        reservation = self._make_id()
        try:
            standing = await self._ask(reservation, key, guess, tokens, usd)
        except StoreDown:
            return _Held(reservation)
        except asyncio.CancelledError:
            # The store may have taken it already.
            self._settler.add(Settlement(key.id, key.tenant, model.id, reservation=reservation))
            raise
        call.notes.extend(standing.headers(key.terms))
        error = standing.refusal(key.terms, tokens)
        if error is not None:
            raise error
        self._leases.add(reservation, key.id)
        return _Held(reservation, standing.second, tokens)

    async def _ask(
        self, reservation: str, key: KeyRecord, guess: Guess, tokens: int, usd: int
    ) -> Standing:
        standing = await self._ledger.reserve(reservation, key, guess, tokens, usd)
        for pause_s in _WAITS_FOR_A_PLACE_S:
            if standing.verdict != PARALLEL:
                break
            await self._sleep(pause_s)
            standing = await self._ledger.reserve(reservation, key, guess, tokens, usd)
        return standing

    def charge(self, call: Call) -> None:
        """Have the key pay for a generation beside its requests: a kept answer made anew."""
        if call.key is not None:
            self._settle(call, call.key, _Held(), whole=False, requests=0)

    def _settle(
        self, call: Call, key: KeyRecord, held: _Held, whole: bool, *, requests: int = 1
    ) -> None:
        self._leases.drop(held.reservation)
        model = call.model
        cached = call.cache_result in _FROM_CACHE
        usage = Usage() if cached else call.usage
        if whole and usage.completion and key.terms.bounded:
            self._estimates.learn(key.id, model.id, len(call.asked.raw), usage, _answers(call))
        hit = min(usage.cached, usage.prompt)
        self._settler.add(
            Settlement(
                key=key.id,
                tenant=key.tenant,
                model=model.id,
                requests=requests,
                cached=int(cached),
                hit=hit,
                miss=usage.prompt - hit,
                completion=usage.completion,
                reasoning=usage.reasoning,
                usd=cost(usage, model.settings.prices),
                reservation=held.reservation,
                second=held.second,
                tokens=held.tokens,
                counted=key.terms.tpm is not None,
                budgeted=key.terms.budgeted,
            )
        )


def _answers(call: Call) -> int:
    """How many answers are asked for at once."""
    return int(call.asked.body.get("n") or 1) if call.api in OPENAI_CHUNKS else 1
