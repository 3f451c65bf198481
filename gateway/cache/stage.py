"""The stage of the pipeline that gives answers again, and shares those being made."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

from gateway.auth.keys import KeyRecord
from gateway.cache.canonical import Addresses
from gateway.cache.deliver import play, replay
from gateway.cache.entry import Entry, UnreadableEntry
from gateway.cache.flight import Flight
from gateway.cache.means import Generate, Means, Place
from gateway.cache.policy import Use, Wish, cacheable, read_wish, use
from gateway.cache.usage import cached
from gateway.call import Call
from gateway.errors import IdempotencyKeyReused, InvalidRequest, NotCached
from gateway.router import Router
from gateway.store.redis import StoreDown
from gateway.telemetry.metrics import Metrics

_APIS = ("chat", "completions")
# More than this is decompressed beside the event loop.
_LARGE_BYTES = 32 * 1024
_CLOSE_S = 2.0
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class ResponseCache:
    """Keeps answers in the store, and lets equal requests share one generation.

    While the store is down every request is generated on its own.
    """

    def __init__(
        self,
        addresses: Addresses,
        means: Means,
        router: Router,
        metrics: Metrics,
        logger: logging.Logger,
        charge: Callable[[Call], None],
    ) -> None:
        """Args: `charge` has a key pay for a generation that none of its calls waited for."""
        self._addresses = addresses
        self._means = means
        self._board = means.board
        self._router = router
        self._metrics = metrics
        self._logger = logger
        self._charge = charge
        self._flights: dict[str, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, call: Call, generate: Generate) -> None:
        """Deliver an answer. Raises NotCached, IdempotencyKeyReused, and what `generate` raises."""
        model = call.model
        if not model.settings.cache.shared:
            call.asked.salt = self._addresses.salt(_tenant(call.key))
        wish = read_wish(call.header(b"cache-control"))
        key = call.header(b"idempotency-key")
        try:
            if call.api not in _APIS or not wish.store:
                await self._pass(call, generate, wish)
            elif key is not None:
                await self._once(key, call, generate, wish)
            else:
                await self._exact(call, generate)
        finally:
            self._metrics.cache_asked(model.id, call.cache_result)

    async def close(self) -> None:
        """End what goes on behind; who follows elsewhere takes over."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)
        await self._board.store.close()

    async def _pass(self, call: Call, generate: Generate, wish: Wish) -> None:
        if wish.only_kept:
            raise _not_cached()
        await generate(call)

    async def _exact(self, call: Call, generate: Generate) -> None:
        """An answer to the same question, if such answers may be kept."""
        settings = call.model.settings
        wish = read_wish(call.header(b"cache-control"))
        temperature = settings.defaults.temperature
        if not cacheable(settings.cache.mode, call.asked.body, temperature):
            await self._pass(call, generate, wish)
            return
        key = self._addresses.answer(
            settings, _tenant(call.key), call.api, call.asked.body, _variant(call)
        )
        place = Place(key, settings.cache.ttl_s, settings.cache.stale_s)
        await self._share(place, wish, call, generate)

    async def _once(self, key: str, call: Call, generate: Generate, wish: Wish) -> None:
        """The answer that belongs to an idempotency key; made as if there were none."""
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise InvalidRequest(
                "'idempotency-key' must be 1 to 255 visible ASCII characters.",
                param="idempotency-key",
            )
        settings, keep_s = call.model.settings, self._means.settings.idempotency_s
        where = self._addresses.once(settings, _tenant(call.key), key)
        fingerprint = self._addresses.fingerprint(settings, call.api, call.asked.body)
        try:
            first = await self._board.claim(where, fingerprint, keep_s)
        except StoreDown:
            await self._exact(call, generate)
            return
        if first != fingerprint:
            raise IdempotencyKeyReused(
                "This idempotency key came before with another request. Use a new key for it.",
                param="idempotency-key",
            )

        async def make(inner: Call) -> None:
            await self._exact(inner, generate)

        place = Place(where, keep_s, 0.0)
        await self._share(place, Wish(only_kept=wish.only_kept), call, make)

    async def _share(self, place: Place, wish: Wish, call: Call, generate: Generate) -> None:
        flight = self._joinable(place.key)
        if flight is None or flight.renews or wish.only_kept:
            try:
                entry = await self._look(place.key)
            except StoreDown:
                await self._pass(call, generate, wish)
                return
            if entry is not None and await self._give(entry, place, wish, call, generate):
                return
            if wish.only_kept:
                raise _not_cached()
            # Another caller may have started one while this one looked.
            flight = self._joinable(place.key)
            if flight is None:
                tag = "" if entry is None else entry.tag
                seen = None if wish.max_age_s == 0 else tag
                flight = Flight(place, call, generate, self._means, seen=seen)
                self._start(flight)
        await self._ride(call, flight)

    async def _look(self, key: str) -> Entry | None:
        data = await self._board.store.get_bytes(f"{key}:answer")
        if data is None:
            return None
        try:
            if len(data) > _LARGE_BYTES:
                return await asyncio.to_thread(Entry.unpack, data)
            return Entry.unpack(data)
        except UnreadableEntry:
            return None

    async def _give(
        self, entry: Entry, place: Place, wish: Wish, call: Call, generate: Generate
    ) -> bool:
        """Give a kept answer if it will do; False if it won't."""
        now = self._means.now()
        found = use(entry.stored, entry.fresh_until, entry.gone_at, now, wish)
        if found is Use.NONE:
            return False
        result = "hit"
        if found is Use.STALE:
            result = "stale"
            if not wish.only_kept and place.key not in self._flights:
                self._start(Flight(place, call, generate, self._means, seen=entry.tag, behind=True))
        await replay(call, entry, result, now - entry.stored, self._metrics)
        return True

    def _joinable(self, key: str) -> Flight | None:
        flight = self._flights.get(key)
        if flight is None or not flight.open or flight.behind:
            return None
        return flight

    def _start(self, flight: Flight) -> None:
        task = flight.start()
        self._flights[flight.place.key] = flight
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(flight, done))

    def _ended(self, flight: Flight, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._flights.get(flight.place.key) is flight:
            del self._flights[flight.place.key]
        if flight.behind and flight.inner is not None:
            self._charge(flight.inner)
            self._metrics.usage(flight.inner.model.id, flight.inner.usage)
        fault = None if task.cancelled() else task.exception()
        if fault is None and flight.behind:
            fault = flight.tape.error
        if fault is not None:
            # Callers, where there are any, were told; but nobody hears of what fails behind them.
            fields = {**flight.origin.names(), "model": flight.origin.model_label}
            self._logger.warning("shared_answer_failed", exc_info=fault, extra={"fields": fields})

    async def _ride(self, call: Call, flight: Flight) -> None:
        mine = call is flight.origin
        call.cache_result = "miss" if mine else "coalesced"
        flight.enter()
        try:
            await play(call, flight, self._router, self._means.now(), self._metrics)
        finally:
            flight.leave()
            if mine and flight.inner is not None:
                if not flight.tape.ended:
                    # Its caller left, but others read on: what lies around this stage (limits)
                    # is held for the generation, and that goes on.
                    await flight.over.wait()
                call.adopt(flight.inner)
            elif flight.tape.ended:
                call.usage = cached(flight.usage)
                call.stopped = None if flight.inner is None else flight.inner.stopped


def _tenant(key: KeyRecord | None) -> str:
    return "" if key is None else key.tenant


def _variant(call: Call) -> str:
    """Who lets another model answer, or may use others, doesn't share with those who don't."""
    if not call.model.settings.fallbacks:
        return ""
    models = () if call.key is None else call.key.terms.models or ()
    return "|".join((call.header(b"x-r1-fallback") or "", *sorted(models)))


def _not_cached() -> NotCached:
    return NotCached(
        "No kept answer will do, and the request says only-if-cached. Send it without that."
    )
