"""Keys as lines of JSON, one a key: to put them back into a store that lost them.

A line has a key's id, whose it is, its terms, and of each of its texts the hash and when it ends,
newest first. Never a text: whoever has the lines can't call with them. `pepper` tells whether the
hashes were made with the pepper at hand, and nothing else about it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.auth.keys import KeyRecord
from gateway.auth.register import (
    ENDED_KEPT_S,
    KeyRegister,
    Restored,
    declared_address,
    digest_of,
)
from gateway.auth.terms import NewKey
from gateway.config import fault_lines

_FAULTS_TOLD = 10


class WrongLines(Exception):
    """Lines that are not what `dump` wrote; the message names each with its number."""


class Text(BaseModel):
    """One text of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    hint: Annotated[str, Field(max_length=16)]
    retires: Annotated[int, Field(ge=0)] | None = None


class KeyLine(NewKey):
    """One key."""

    id: Annotated[str, Field(pattern=r"^key_[0-9a-f]{16}$")]
    created: Annotated[int, Field(ge=0)]
    pepper: str
    texts: Annotated[tuple[Text, ...], Field(min_length=1)]

    def records(self, now: float) -> dict[str, KeyRecord]:
        """The record of each text that is not long over at `now`, by its address."""
        return {
            declared_address(text.hash): KeyRecord(
                id=self.id,
                name=self.name,
                tenant=self.tenant,
                created=self.created,
                hint=text.hint,
                retires=text.retires,
                terms=self.terms(),
            )
            for text in self.texts
            if text.retires is None or now < text.retires + ENDED_KEPT_S
        }


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a line; `ended`: all of its texts are long over."""

    key: KeyLine
    outcome: Restored | Literal["ended"]


async def dump(register: KeyRegister, pepper: bytes) -> list[str]:
    """All keys, a line each, oldest first. Raises StoreDown."""
    keys = [(key_id, each) for key_id, each in (await register.texts()).items() if each]
    keys.sort(key=lambda key: (next(iter(key[1].values())).created, key[0]))
    return [_line(records, pepper) for _, records in keys]


def parse(lines: Sequence[str], pepper: bytes) -> list[KeyLine]:
    """The keys of `dump`'s lines; empty lines are passed over. Raises WrongLines."""
    keys: list[KeyLine] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            key = KeyLine.model_validate_json(line)
        except ValidationError as error:
            told = error.errors(include_input=False)
            faults += fault_lines(told, prefix=f"line {number}: ")
            continue
        if key.pepper != _mark(pepper):
            faults.append(f"line {number}: its hashes were made with another pepper; use that one")
        for mark in (key.id, *(text.hash for text in key.texts)):
            if seen.setdefault(mark, number) != number:
                faults.append(f"line {number}: line {seen[mark]} has this key too; remove one")
                break
        keys.append(key)
    if faults:
        more = len(faults) - _FAULTS_TOLD
        raise WrongLines(
            "\n".join([*faults[:_FAULTS_TOLD], *([f"and {more} more"] if more > 0 else [])])
        )
    return keys


async def restore(
    register: KeyRegister, keys: Sequence[KeyLine], now: float, *, overwrite: bool
) -> list[Result]:
    """Put keys back, each whole or not at all; doing it again changes nothing. Raises StoreDown."""
    results = []
    for key in keys:
        records = key.records(now)
        if records:
            outcome = await register.restore(key.id, records, overwrite=overwrite)
            results.append(Result(key, outcome))
        else:
            results.append(Result(key, "ended"))
    return results


def _line(records: dict[str, KeyRecord], pepper: bytes) -> str:
    newest = next(iter(records.values()))
    fields = {
        **newest.public(),
        "pepper": _mark(pepper),
        "texts": [
            {"hash": digest_of(address), "hint": record.hint, "retires": record.retires}
            for address, record in records.items()
        ],
    }
    del fields["hint"], fields["retires"]
    return json.dumps(fields, ensure_ascii=False)


def _mark(pepper: bytes) -> str:
    return hmac.digest(pepper, b"r1 key lines", hashlib.sha256).hex()[:12]
