"""Keys for other programs: make, list, rotate and revoke them, given Redis and a pepper file.

These are plain blocking calls. `StoreDown` (from gateway.store.redis) is raised when Redis
can't be reached, `ConfigError` (from gateway.config) when the pepper can't be read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from gateway.auth.register import CreatedKey, KeyRegister, KeyState
from gateway.auth.terms import NewKey
from gateway.config import read_secret
from gateway.store.redis import Store

T = TypeVar("T")


class NoWatcher:
    """Counts no store operations."""

    def store_ok(self) -> None:
        """Nobody counts here."""

    def store_failed(self, operation: str) -> None:
        """Nobody counts here."""


def create_key(
    url: str, pepper_file: Path, *, name: str, tenant: str = "default", **terms: Any
) -> CreatedKey:
    """Make a key. Its text is in the result and nowhere else: show it once.

    `terms` are fields of gateway.auth.terms.Terms; pydantic's ValidationError names a wrong one.
    """
    new = NewKey(name=name, tenant=tenant, **terms)
    return _with_register(url, pepper_file, lambda keys: keys.create(new))


def list_keys(url: str, pepper_file: Path) -> list[KeyState]:
    """All keys, oldest first."""
    return _with_register(url, pepper_file, lambda keys: keys.all())


def show_key(url: str, pepper_file: Path, key_id: str) -> list[KeyState]:
    """A key by its id, a state for each text of it that works, newest first; [] if unknown."""
    return _with_register(url, pepper_file, lambda keys: keys.show(key_id))


def rotate_key(url: str, pepper_file: Path, key_id: str, *, overlap_s: float) -> CreatedKey | None:
    """Give a key another text; the one before works for `overlap_s` more. None if unknown."""
    return _with_register(url, pepper_file, lambda keys: keys.rotate(key_id, overlap_s))


def revoke_key(url: str, pepper_file: Path, key_id: str) -> bool:
    """End a key in all workers within a second; False if no key has this id."""
    return _with_register(url, pepper_file, lambda keys: keys.revoke(key_id))


def _with_register(url: str, pepper_file: Path, call: Callable[[KeyRegister], Awaitable[T]]) -> T:
    pepper = read_secret(pepper_file, "auth.pepper_file").encode()

    async def run() -> T:
        store = Store(url, timeout_s=5.0, watcher=NoWatcher())
        try:
            return await call(KeyRegister(store, pepper, time.time))
        finally:
            await store.close()

    return asyncio.run(run())
