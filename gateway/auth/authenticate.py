"""The stage that says who is calling."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.auth.cache import KeyCache
from gateway.auth.keys import KeyRecord, is_well_formed
from gateway.auth.register import CHANNEL, KeyRegister
from gateway.errors import StoreUnavailable, Unauthorized
from gateway.store.redis import Store, StoreDown

# Without the subscription a revocation isn't heard, so nothing older than this is trusted.
_UNHEARD_TTL_S = 1.0


def credentials(header: Callable[[str], str | None]) -> str | None:
    """The `authorization` header; Anthropic's clients put their key into `x-api-key`.

    `header` gives a request's header by its name.
    """
    given, key = header("authorization"), header("x-api-key")
    return given if given is not None or key is None else f"Bearer {key}"


class AuthWatcher(Protocol):
    """Hears of refused keys: for the counters of telemetry."""

    def auth_failed(self, reason: str) -> None:
        """A key was refused; `reason` is one of missing, malformed, unknown, expired, store."""


class Authenticator:
    """Checks `Authorization: Bearer <key>` against the register, through a local cache."""

    def __init__(
        self,
        register: KeyRegister,
        cache: KeyCache,
        watcher: AuthWatcher,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Args: `now` is a clock that only goes forward, `wall` gives seconds since 1970."""
        self._register = register
        self._cache = cache
        self._watcher = watcher
        self._now = now
        self._wall = wall
        self._hears_revocations = False
        self._heard = 0
        self._asking: dict[str, asyncio.Task[KeyRecord | None]] = {}

    async def __call__(self, authorization: str | None) -> KeyRecord:
        """The key's record. Raises Unauthorized or StoreUnavailable.

        A malformed key is refused without asking the store. While the store is down, keys
        that were checked before keep working for a bounded time.
        """
        try:
            return await self._check(authorization)
        except Unauthorized as refusal:
            self._watcher.auth_failed(refusal.reason)
            raise
        except StoreUnavailable:
            self._watcher.auth_failed("store")
            raise

    async def _check(self, authorization: str | None) -> KeyRecord:
        if not authorization:
            raise Unauthorized(
                "No API key. Send it as the header 'Authorization: Bearer <key>'.",
                reason="missing",
            )
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not is_well_formed(key):
            raise Unauthorized(
                "The API key is malformed. Keys begin with 'r1-'; check that it was copied whole.",
                reason="malformed",
            )
        address = self._register.address(key)
        ttl_s = None if self._hears_revocations else _UNHEARD_TTL_S
        known = self._cache.fresh(address, self._now(), ttl_s=ttl_s)
        try:
            record = known.record if known is not None else await self._ask(address)
        except StoreDown as error:
            record = self._cache.stale(address, self._now())
            if record is None:
                raise StoreUnavailable(
                    "The key can't be checked at the moment; try again shortly.",
                    retry_after_s=2,
                ) from error
        if record is None:
            raise Unauthorized("The API key is not known or was revoked.", reason="unknown")
        if record.ended(self._wall()):
            raise Unauthorized(
                "The API key has expired, or was replaced by a newer one.", reason="expired"
            )
        return record

    async def _ask(self, address: str) -> KeyRecord | None:
        """Ask the store, once for all who wait for the same key."""
        task = self._asking.get(address)
        if task is None:
            task = asyncio.create_task(self._look_up(address))
            self._asking[address] = task
            task.add_done_callback(lambda done: self._asked(address, done))
        return await asyncio.shield(task)

    def _asked(self, address: str, task: asyncio.Task[KeyRecord | None]) -> None:
        self._asking.pop(address, None)
        # All who waited may have gone: look at the result, or asyncio warns of a lost error.
        if not task.cancelled():
            task.exception()

    async def _look_up(self, address: str) -> KeyRecord | None:
        heard_before = self._heard
        record = await self._register.find(address)
        # A revocation heard meanwhile may have been of this key: then don't remember it.
        if self._heard == heard_before:
            self._cache.put(address, record, self._now())
        return record

    async def hear_revocations(
        self, store: Store, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Forget revoked keys as the store tells of them; runs until cancelled."""
        while True:
            try:
                async for address in store.listen(CHANNEL, self._subscribed):
                    self._heard += 1
                    self._cache.forget(address)
            except StoreDown:
                self._hears_revocations = False
                await sleep(0.5)

    def _subscribed(self) -> None:
        # Revocations while we did not listen were missed: ask again for every key.
        self._heard += 1
        self._cache.distrust(self._now())
        self._hears_revocations = True
