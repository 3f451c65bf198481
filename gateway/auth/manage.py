"""Keys for other programs: make, list, rotate and revoke them, given Redis and a pepper file.

These are plain blocking calls. `StoreDown` (from gateway.store.redis) is raised when Redis
can't be reached, `ConfigError` (from gateway.config) when the pepper can't be read.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gateway.auth import transfer
from gateway.auth.register import CreatedKey, KeyRegister, KeyState
from gateway.auth.terms import NewKey
from gateway.config import read_secret
from gateway.store.once import with_store

T = TypeVar("T")


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


def export_keys(url: str, pepper_file: Path) -> list[str]:
    """All keys as lines that `import_keys` takes: hashes, never a text."""
    pepper = read_secret(pepper_file, "auth.pepper_file").encode()
    return _with_register(url, pepper_file, lambda keys: transfer.dump(keys, pepper))


def import_keys(
    url: str, pepper_file: Path, lines: Sequence[str], *, overwrite: bool = False
) -> list[transfer.Result]:
    """Put keys back; those that the store has otherwise are left alone unless `overwrite`.

    Raises WrongLines before anything is written.
    """
    pepper = read_secret(pepper_file, "auth.pepper_file").encode()
    parsed = transfer.parse(lines, pepper)
    return _with_register(
        url,
        pepper_file,
        lambda keys: transfer.restore(keys, parsed, time.time(), overwrite=overwrite),
    )


def _with_register(url: str, pepper_file: Path, call: Callable[[KeyRegister], Awaitable[T]]) -> T:
    pepper = read_secret(pepper_file, "auth.pepper_file").encode()

    return with_store(url, lambda store: call(KeyRegister(store, pepper, time.time)))
