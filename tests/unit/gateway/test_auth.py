"""Keys, the cache of look-ups, and the stage that checks them."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from gateway.auth.authenticate import Authenticator
from gateway.auth.cache import KeyCache
from gateway.auth.keys import KeyRecord, digest, hint_of, is_well_formed, make_key
from gateway.errors import StoreUnavailable, Unauthorized
from gateway.store.redis import StoreDown

KEY = make_key(secrets.choice)
RECORD = KeyRecord(id="key_1", name="n", tenant="t", created=1, hint="r1-abcd…")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeRegister:
    """A register that can be down, slow, and that counts."""

    def __init__(self) -> None:
        self.records = {KEY: RECORD}
        self.down = False
        self.asked = 0
        self.gate: asyncio.Event | None = None

    def address(self, key: str) -> str:
        return key

    async def find(self, address: str) -> KeyRecord | None:
        self.asked += 1
        record = self.records.get(address)
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise StoreDown("down")
        return record


class Watcher:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def auth_failed(self, reason: str) -> None:
        self.reasons.append(reason)


class FakeStore:
    """Gives messages to whoever listens, until it is closed."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str | None] = asyncio.Queue()
        self.subscriptions = 0

    async def listen(self, channel: str, on_ready):  # type: ignore[no-untyped-def]
        self.subscriptions += 1
        on_ready()
        while (message := await self.messages.get()) is not None:
            yield message
        raise StoreDown("gone")


def make() -> tuple[Authenticator, FakeRegister, Clock, Watcher]:
    register, clock, watcher = FakeRegister(), Clock(), Watcher()
    cache = KeyCache(size=10, ttl_s=30, stale_s=600)
    check = Authenticator(register, cache, watcher, clock, clock)  # type: ignore[arg-type]
    return check, register, clock, watcher


def test_the_form_of_a_key() -> None:
    assert is_well_formed(KEY)
    assert KEY.startswith("r1-")
    for bad in ("", "r1-", KEY[:-1], KEY + "a", KEY.replace("r1-", "r2-"), KEY[:-1] + "é"):
        assert not is_well_formed(bad)
    assert digest(KEY, b"a") != digest(KEY, b"b")
    assert KEY not in digest(KEY, b"a")
    assert len(hint_of(KEY)) == 8
    assert KeyRecord.load(RECORD.dump()) == RECORD
    assert KeyRecord.load(RECORD.dump()[:-1] + ',"later":1}') == RECORD


async def test_a_key_is_asked_for_once() -> None:
    check, register, clock, _ = make()
    assert await check(f"Bearer {KEY}") == RECORD
    assert await check(f"bearer  {KEY} ") == RECORD
    assert register.asked == 1
    # Without a subscription only for a second; with one for cache_ttl_s.
    clock.now += 1.0
    await check(f"Bearer {KEY}")
    assert register.asked == 2


async def test_a_hundred_at_once_ask_once() -> None:
    check, register, _, _ = make()
    register.gate = asyncio.Event()
    waiting = [asyncio.create_task(check(f"Bearer {KEY}")) for _ in range(100)]
    await settle()
    assert register.asked == 1
    waiting[0].cancel()
    register.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results[1:] == [RECORD] * 99
    assert register.asked == 1


@pytest.mark.parametrize("header", [None, "", KEY, f"Basic {KEY}", "Bearer", "Bearer r1-x"])
async def test_refused_without_asking(header: str | None) -> None:
    check, register, _, watcher = make()
    with pytest.raises(Unauthorized):
        await check(header)
    assert register.asked == 0
    assert watcher.reasons[0] in ("missing", "malformed")


async def test_an_unknown_key_is_asked_for_once_in_two_seconds() -> None:
    check, register, clock, _ = make()
    stranger = f"Bearer {make_key(secrets.choice)}"
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await check(stranger)
    assert register.asked == 1
    clock.now += 2.0
    with pytest.raises(Unauthorized):
        await check(stranger)
    assert register.asked == 2


async def test_a_store_that_is_down() -> None:
    check, register, clock, watcher = make()
    await check(f"Bearer {KEY}")
    register.down = True
    clock.now += 600
    assert await check(f"Bearer {KEY}") == RECORD
    with pytest.raises(StoreUnavailable):
        await check(f"Bearer {make_key(secrets.choice)}")
    clock.now += 31
    with pytest.raises(StoreUnavailable):
        await check(f"Bearer {KEY}")
    assert watcher.reasons == ["store", "store"]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_revocations_are_heard() -> None:
    check, register, clock, _ = make()
    store, pauses = FakeStore(), 0

    async def pause(seconds: float) -> None:
        nonlocal pauses
        pauses += 1

    hearing = asyncio.create_task(check.hear_revocations(store, pause))  # type: ignore[arg-type]
    await settle()
    await check(f"Bearer {KEY}")
    clock.now += 20
    await check(f"Bearer {KEY}")
    assert register.asked == 1, "with a subscription a key is trusted for cache_ttl_s"
    register.records.clear()
    store.messages.put_nowait(KEY)
    await settle()
    with pytest.raises(Unauthorized):
        await check(f"Bearer {KEY}")
    # A revocation during an outage of the subscription is not heard: ask again after it.
    register.records[KEY] = RECORD
    clock.now += 3
    await check(f"Bearer {KEY}")
    asked = register.asked
    store.messages.put_nowait(None)
    clock.now += 0.1
    await settle()
    assert (pauses, store.subscriptions) == (1, 2)
    await check(f"Bearer {KEY}")
    assert register.asked == asked + 1
    hearing.cancel()


async def test_a_revocation_during_a_look_up_is_not_overwritten() -> None:
    check, register, _, _ = make()
    store = FakeStore()
    hearing = asyncio.create_task(
        check.hear_revocations(store, asyncio.sleep)  # type: ignore[arg-type]
    )
    await settle()
    register.gate = asyncio.Event()
    asking = asyncio.create_task(check(f"Bearer {KEY}"))
    await settle()
    store.messages.put_nowait(KEY)
    register.records.clear()
    await settle()
    register.gate.set()
    # This one request may pass; the next one must ask again.
    await asking
    with pytest.raises(Unauthorized):
        await check(f"Bearer {KEY}")
    hearing.cancel()
