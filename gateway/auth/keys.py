"""The form of an API key, and how it is kept at rest. Pure.

A key is `r1-` + 32 random characters + 6 check characters, of 0-9A-Za-z: 190 random bits and
a CRC-32 of what stands before. The check lets a mistyped or guessed key be refused without
asking the store. At rest there is only HMAC-SHA256(pepper, key): a stolen store without the
pepper holds nothing that can be used or tried out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass

import orjson

PREFIX = "r1-"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH = 32
_CHECK_LENGTH = 6
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECK_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the store knows of a key. `created` is in seconds since 1970 (UTC)."""

    id: str
    name: str
    tenant: str
    created: int
    hint: str
    """The first characters of the key, so that its owner can tell it from others."""

    def dump(self) -> str:
        """As JSON."""
        return orjson.dumps(asdict(self)).decode()

    @staticmethod
    def load(text: str) -> KeyRecord:
        """From `dump`; fields that a newer version added are ignored."""
        data = orjson.loads(text)
        return KeyRecord(
            id=data["id"],
            name=data["name"],
            tenant=data["tenant"],
            created=data["created"],
            hint=data["hint"],
        )


def make_key(choose: Callable[[str], str]) -> str:
    """A new key; `choose` picks one character of a string (secrets.choice)."""
    body = PREFIX + "".join(choose(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + _check(body)


def is_well_formed(key: str) -> bool:
    """True if `key` has the shape of a key and its check characters are right."""
    if _SHAPE.fullmatch(key) is None:
        return False
    return hmac.compare_digest(_check(key[:-_CHECK_LENGTH]), key[-_CHECK_LENGTH:])


def digest(key: str, pepper: bytes) -> str:
    """HMAC-SHA256 of the key under the pepper, in hexadecimal."""
    return hmac.new(pepper, key.encode(), hashlib.sha256).hexdigest()


def hint_of(key: str) -> str:
    """The first characters of a key: `r1-` and four more."""
    return key[: len(PREFIX) + 4] + "…"


def _check(body: str) -> str:
    value = zlib.crc32(body.encode())
    characters = []
    for _ in range(_CHECK_LENGTH):
        value, index = divmod(value, len(_ALPHABET))
        characters.append(_ALPHABET[index])
    return "".join(reversed(characters))
