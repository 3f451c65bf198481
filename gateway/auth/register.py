"""The register of keys in the store: create, list, rotate, revoke, look up.

A key's record lies at the hash of its text. The index knows where: the texts of one key, newest
first, parted by blanks. More than one works while a rotation's overlap lasts.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.auth.keys import KeyRecord, digest, hint_of, make_key
from gateway.auth.terms import NewKey
from gateway.store.redis import Store, StoreDown

_KEY = "r1:key:"
_INDEX = "r1:keys"
USED = "r1:keys:used"
CHANNEL = "r1:keys:revoked"
ENDED_KEPT_S = 86400
"""How long the record of a text that has ended stays."""
_ATTEMPTS = 10

# Changes the texts of one key, all or none of them, if nobody else did meanwhile; tells all
# workers of each address. KEYS: index, times of last use, what all names begin with. ARGV: id,
# index entry before and after, channel, number of records to set, then address, record and
# seconds to live (0: for ever) of each, then addresses to drop.
_CHANGE = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
local at = 6
local function place(address) return KEYS[3] .. string.sub(address, 4) end
for _ = 1, tonumber(ARGV[5]) do
  redis.call('SET', place(ARGV[at]), ARGV[at + 1])
  if ARGV[at + 2] ~= '0' then redis.call('EXPIRE', place(ARGV[at]), ARGV[at + 2]) end
  redis.call('PUBLISH', ARGV[4], ARGV[at])
  at = at + 3
end
for drop = at, #ARGV do
  redis.call('DEL', place(ARGV[drop]))
  redis.call('PUBLISH', ARGV[4], ARGV[drop])
end
return 1
"""

_EPOCH = """
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
"""
# How many records one MGET asks for.
_PAGE = 1000

Restored = Literal["restored", "unchanged", "differs", "taken"]
"""What became of a key that was to be restored; `taken`: another key has one of its texts."""


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. `key` is shown here only: the store keeps its hash."""

    key: str
    record: KeyRecord


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key as `show` and `list` tell of it. `used`: its last use, seconds since 1970."""

    record: KeyRecord
    used: int | None


class KeyRegister:
    """Keys in the store, found by their hash. Every method raises StoreDown."""

    def __init__(self, store: Store, pepper: bytes, now: Callable[[], float]) -> None:
        self._store = store
        self._pepper = pepper
        self._now = now

    async def create(self, new: NewKey) -> CreatedKey:
        """Make a key and store its hash."""
        key = make_key(secrets.choice)
        record = KeyRecord(
            id="key_" + secrets.token_hex(8),
            name=new.name,
            tenant=new.tenant,
            created=int(self._now()),
            hint=hint_of(key),
            terms=new.terms(),
        )
        await self._change(record.id, (), (self.address(key),), {self.address(key): (record, 0)})
        return CreatedKey(key=key, record=record)

    async def show(self, key_id: str) -> list[KeyState]:
        """One key by its id: a state for each text that works, newest first; [] if unknown."""
        used = await self._store.indexed(USED)
        records = await self._records(await self._places(key_id))
        return [KeyState(record, _last(used, key_id)) for record in records.values()]

    async def rotate(self, key_id: str, overlap_s: float) -> CreatedKey | None:
        """Give a key another text; the one before works for `overlap_s` more. None if unknown.

        Texts that are on their way out already keep their time.
        """
        for _ in range(_ATTEMPTS):
            places = await self._places(key_id)
            records = await self._records(places)
            if not records:
                return None
            now = self._now()
            newest, current = next(iter(records.items()))
            key = make_key(secrets.choice)
            record = replace(current, hint=hint_of(key), retires=None)
            writes = {self.address(key): (record, 0)}
            kept = [place for place in records if place != newest]
            if overlap_s > 0:
                kept.insert(0, newest)
                leaving = replace(current, retires=math.ceil(now + overlap_s))
                writes[newest] = (leaving, _lives_s(overlap_s))
            drops = [place for place in places if place not in kept]
            if await self._change(key_id, places, (self.address(key), *kept), writes, drops):
                return CreatedKey(key=key, record=record)
        raise StoreDown("contention")

    async def revoke(self, key_id: str) -> bool:
        """End a key by its id, in all workers at once; False if there is none."""
        for _ in range(_ATTEMPTS):
            places = await self._places(key_id)
            if not places:
                return False
            if await self._change(key_id, places, (), {}, places):
                return True
        raise StoreDown("contention")

    async def declare(self, key_id: str, address: str, hint: str, new: NewKey) -> None:
        """Make sure that this key exists with these terms and this text only.

        Doing it again changes nothing, so that all gateways may do it.
        """
        for _ in range(_ATTEMPTS):
            places = await self._places(key_id)
            before = (await self.find(places[0])) if places else None
            created = int(self._now()) if before is None else before.created
            record = KeyRecord(key_id, new.name, new.tenant, created, hint, None, new.terms())
            if before == record and places == (address,):
                return
            drops = [place for place in places if place != address]
            if await self._change(key_id, places, (address,), {address: (record, 0)}, drops):
                return
        raise StoreDown("contention")

    async def epoch(self) -> str:
        """A name for the store's present contents: another one once it was emptied."""
        name: str = await self._store.script("epoch", _EPOCH, "r1:epoch", (secrets.token_hex(8),))
        return name

    async def texts(self) -> dict[str, dict[str, KeyRecord]]:
        """All keys by id: the record of each of their texts by its address, newest first."""
        index = await self._store.indexed(_INDEX)
        places = [place for each in index.values() for place in each.split()]
        found: dict[str, KeyRecord] = {}
        for first in range(0, len(places), _PAGE):
            found |= await self._records(places[first : first + _PAGE])
        return {
            key_id: {place: found[place] for place in each.split() if place in found}
            for key_id, each in index.items()
        }

    async def restore(
        self, key_id: str, records: dict[str, KeyRecord], *, overwrite: bool
    ) -> Restored:
        """Put back a key as `texts` gave it: all of its texts or none, unless it differs.

        What is there of it already is left alone. `overwrite`: these records replace what differs.
        """
        for _ in range(_ATTEMPTS):
            places = await self._places(key_id)
            there = await self._records(places)
            if there == records:
                return "unchanged"
            differs = any(records.get(place) != record for place, record in there.items())
            if differs and not overwrite:
                return "differs"
            others = await self._records(list(records))
            if any(record.id != key_id for record in others.values()):
                return "taken"
            now = self._now()
            writes = {
                place: (record, 0 if record.retires is None else _lives_s(record.retires - now))
                for place, record in records.items()
            }
            drops = [place for place in places if place not in records]
            if await self._change(key_id, places, tuple(records), writes, drops):
                return "restored"
        raise StoreDown("contention")

    def address(self, key: str) -> str:
        """Where a key's record lies in the store; it does not tell the key."""
        return _KEY + digest(key, self._pepper)

    async def find(self, address: str) -> KeyRecord | None:
        """The record at `address`."""
        value = await self._store.get(address)
        return None if value is None else KeyRecord.load(value)

    async def all(self) -> list[KeyState]:
        """All keys, oldest first."""
        index = await self._store.indexed(_INDEX)
        used = await self._store.indexed(USED)
        # The newest text of each.
        values = await self._store.get_many([places.split(" ")[0] for places in index.values()])
        records = [KeyRecord.load(value) for value in values if value is not None]
        records.sort(key=lambda record: (record.created, record.id))
        return [KeyState(record, _last(used, record.id)) for record in records]

    async def _records(self, places: Sequence[str]) -> dict[str, KeyRecord]:
        """What lies at these addresses, where something does."""
        values = await self._store.get_many(list(places))
        return {
            place: KeyRecord.load(value)
            for place, value in zip(places, values, strict=True)
            if value is not None
        }

    async def _places(self, key_id: str) -> tuple[str, ...]:
        places = await self._store.field(_INDEX, key_id)
        return tuple((places or "").split())

    async def _change(
        self,
        key_id: str,
        before: Sequence[str],
        after: Sequence[str],
        writes: dict[str, tuple[KeyRecord, int]],
        drops: Sequence[str] = (),
    ) -> bool:
        words: list[str] = [key_id, " ".join(before), " ".join(after), CHANNEL, str(len(writes))]
        for place, (record, lives_s) in writes.items():
            words += (place, record.dump(), str(lives_s))
        words += drops
        return bool(await self._store.script("keys", _CHANGE, (_INDEX, USED, "r1:"), words))


def declared_id(tenant: str, name: str) -> str:
    """The id of a key that a file declares: the same in every gateway and at every start."""
    return "key_" + hashlib.sha256(f"{tenant}\n{name}".encode()).hexdigest()[:16]


def declared_address(digest_hex: str) -> str:
    """Where a key lies whose hash is known instead of its text."""
    return _KEY + digest_hex


def digest_of(address: str) -> str:
    """The hash of the key that lies at an address."""
    return address.removeprefix(_KEY)


def _lives_s(works_s: float) -> int:
    """For how long a text's record stays: longer, so that its owner is told that it has ended."""
    return max(1, math.ceil(works_s) + ENDED_KEPT_S)


def _last(used: dict[str, str], key_id: str) -> int | None:
    return int(used[key_id]) if key_id in used else None
