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
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.auth.terms import Terms

PREFIX = "r1-"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH = 32
_CHECK_LENGTH = 6
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECK_LENGTH}}}")


_UNLIMITED = Terms()


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the store knows of a key. Times are in seconds since 1970 (UTC).

    `id` stays the same when the key's text is changed: limits and usage go by it.
    """

    id: str
    name: str
    tenant: str
    created: int
    hint: str
    """The first characters of the key, so that its owner can tell it from others."""
    retires: int | None = None
    """When this text of the key ends, because another one took its place."""
    terms: Terms = _UNLIMITED

    def ended(self, now: float) -> bool:
        """True if the key has expired, or this text of it was replaced and its time is over."""
        ends = [each for each in (self.terms.expires, self.retires) if each is not None]
        return bool(ends) and now >= min(ends)

    def public(self) -> dict[str, Any]:
        """All of it as plain data, which tells nothing that could be used as a key."""
        return {
            "id": self.id,
            "name": self.name,
            "tenant": self.tenant,
            "created": self.created,
            "hint": self.hint,
            "retires": self.retires,
            **self.terms.model_dump(mode="json"),
        }

    def dump(self) -> str:
        """As JSON."""
        return orjson.dumps(self.public()).decode()

    @staticmethod
    def load(text: str) -> KeyRecord:
        """From `dump`; what an older version left out has its default, unknown fields go."""
        data = orjson.loads(text)
        known = {field: data[field] for field in Terms.model_fields if field in data}
        return KeyRecord(
            id=data["id"],
            name=data["name"],
            tenant=data["tenant"],
            created=data["created"],
            hint=data["hint"],
            retires=data.get("retires"),
            terms=Terms.model_validate(known),
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
