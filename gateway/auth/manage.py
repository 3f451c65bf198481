"""Keys for other programs: make, list and revoke them from a Redis URL and a pepper file.

These are plain blocking calls. `StoreDown` (from gateway.store.redis) is raised when Redis
can't be reached, `ConfigError` (from gateway.config) when the pepper can't be read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from gateway.auth.keys import KeyRecord
from gateway.auth.register import CreatedKey, KeyRegister
from gateway.config import read_secret
from gateway.store.redis import Store

T = TypeVar("T")


class _NoWatcher:
    def store_ok(self) -> None:
        """Nobody counts here."""

    def store_failed(self, operation: str) -> None:
        """Nobody counts here."""


def create_key(url: str, pepper_file: Path, *, name: str, tenant: str = "default") -> CreatedKey:
    """Make a key. Its text is in the result and nowhere else: show it once."""
    return _with_register(url, pepper_file, lambda keys: keys.create(name=name, tenant=tenant))


def list_keys(url: str, pepper_file: Path) -> list[KeyRecord]:
    """All keys, oldest first."""
    return _with_register(url, pepper_file, lambda keys: keys.list())


def revoke_key(url: str, pepper_file: Path, key_id: str) -> bool:
    """End a key in all workers within a second; False if no key has this id."""
    return _with_register(url, pepper_file, lambda keys: keys.revoke(key_id))


def _with_register(url: str, pepper_file: Path, call: Callable[[KeyRegister], Awaitable[T]]) -> T:
    pepper = read_secret(pepper_file, "auth.pepper_file").encode()

    async def run() -> T:
        store = Store(url, timeout_s=5.0, watcher=_NoWatcher())
        try:
            return await call(KeyRegister(store, pepper, time.time))
        finally:
            await store.close()

    return asyncio.run(run())
