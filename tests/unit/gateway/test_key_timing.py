"""How long a key's check takes tells nothing of how near a wrong key is to a right one."""

from __future__ import annotations

import hmac
import string
import sys
import time
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from gateway.api.admin import admins_only
from gateway.auth import keys
from gateway.auth.authenticate import Authenticator
from gateway.auth.cache import KeyCache
from gateway.auth.keys import KeyRecord, is_well_formed
from gateway.auth.register import KeyRegister
from gateway.errors import Unauthorized

SOURCE = str(Path(keys.__file__).parents[1])
KEY = keys.make_key(lambda alphabet: alphabet[7])


class Reads:
    """A store that knows one key and counts what it is asked."""

    def __init__(self, register: KeyRegister) -> None:
        self._known = register.address(KEY)
        self.asked: list[str] = []

    async def get(self, address: str) -> str | None:
        self.asked.append(address)
        record = KeyRecord("key_1", "n", "t", 0, "r1-…")
        return record.dump() if address == self._known else None


class Nobody:
    """Counts no refusals."""

    def auth_failed(self, reason: str) -> None:
        """Nothing."""


class Door:
    """The check of keys over a store that counts."""

    def __init__(self) -> None:
        nothing: Any = None
        register = KeyRegister(nothing, b"pepper" * 4, time.time)
        store: Any = Reads(register)
        register._store = store
        self.reads: Reads = store
        cache = KeyCache(size=1, ttl_s=0.0, stale_s=0.0)
        self.check = Authenticator(register, cache, Nobody(), float, time.time)

    async def refuses(self, key: str) -> bool:
        """True if the key is refused as unknown."""
        try:
            await self.check(f"Bearer {key}")
        except Unauthorized as refusal:
            return refusal.reason == "unknown"
        return False


def near(place: int) -> str:
    """The key with another character at a place, and the right checksum for that."""
    body = KEY[:-6]
    other = next(each for each in string.ascii_letters if each != body[place])
    changed = body[:place] + other + body[place + 1 :]
    return changed + keys._check(changed)


WRONG = [near(place) for place in range(3, 35)]


async def test_each_wrong_key_costs_one_look_up_of_its_hash() -> None:
    door = Door()
    assert not await door.refuses(KEY)
    for key in WRONG:
        assert is_well_formed(key)
        door.reads.asked.clear()
        assert await door.refuses(key)
        (address,) = door.reads.asked
        # Of two keys that have all but one character in common the hashes have nothing in common.
        assert key not in address
        common = zip(address[7:], door.reads._known[7:], strict=True)
        assert sum(mine == right for mine, right in common) < 24


async def test_the_same_lines_run_for_each_wrong_key() -> None:
    """Not the time, which chance decides too, but the way through the code."""
    door = Door()
    ways = set()
    for key in WRONG:
        await door.refuses(key)
        lines: list[tuple[str, int]] = []

        def trace(frame: FrameType, event: str, given: object, lines: Any = lines) -> Any:
            if event == "line" and SOURCE in frame.f_code.co_filename:
                lines.append((frame.f_code.co_name, frame.f_lineno))
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert await door.refuses(key)
        finally:
            sys.settrace(before)
        assert len(lines) > 20
        ways.add(tuple(lines))
    assert len(ways) == 1


async def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksum of a key, and the admin key."""
    compared: list[tuple[Any, Any]] = []

    def compare(given: Any, right: Any) -> bool:
        compared.append((given, right))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert not is_well_formed(KEY)
    assert compared.pop() == (KEY[-6:], KEY[-6:])
    nothing: Any = None
    request: Any = SimpleNamespace(headers={"authorization": "Bearer guess"})
    with pytest.raises(Unauthorized):
        await admins_only(nothing, "right", float)(request)
    assert compared[0] == (b"guess", b"right")
