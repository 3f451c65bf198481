"""The register of keys in the store: create, list, revoke, look up."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from gateway.auth.keys import KeyRecord, digest, hint_of, make_key
from gateway.store.redis import Store

_KEY = "r1:key:"
_INDEX = "r1:keys"
CHANNEL = "r1:keys:revoked"


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. `key` is shown here only: the store keeps its hash."""

    key: str
    record: KeyRecord


class KeyRegister:
    """Keys in the store, found by their hash. Every method raises StoreDown."""

    def __init__(self, store: Store, pepper: bytes, now: Callable[[], float]) -> None:
        self._store = store
        self._pepper = pepper
        self._now = now

    async def create(self, *, name: str, tenant: str) -> CreatedKey:
        """Make a key and store its hash."""
        key = make_key(secrets.choice)
        record = KeyRecord(
            id="key_" + secrets.token_hex(8),
            name=name,
            tenant=tenant,
            created=int(self._now()),
            hint=hint_of(key),
        )
        await self._store.put_indexed(
            _KEY + digest(key, self._pepper), record.dump(), _INDEX, record.id
        )
        return CreatedKey(key=key, record=record)

    async def list(self) -> list[KeyRecord]:
        """All keys, oldest first."""
        index = await self._store.indexed(_INDEX)
        values = await self._store.get_many(list(index.values()))
        records = [KeyRecord.load(value) for value in values if value is not None]
        return sorted(records, key=lambda record: (record.created, record.id))

    async def revoke(self, key_id: str) -> bool:
        """End a key by its id, in all workers at once; False if there is none."""
        index = await self._store.indexed(_INDEX)
        stored_at = index.get(key_id)
        if stored_at is None:
            return False
        return await self._store.drop_indexed(stored_at, _INDEX, key_id, CHANNEL)

    def address(self, key: str) -> str:
        """Where a key's record lies in the store; it does not tell the key."""
        return _KEY + digest(key, self._pepper)

    async def find(self, address: str) -> KeyRecord | None:
        """The record at `address`."""
        value = await self._store.get(address)
        return None if value is None else KeyRecord.load(value)
