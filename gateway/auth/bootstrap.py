"""Keys that a file declares, as a Kubernetes Secret would mount it.

    keys:
      - name: shop            # with the tenant: the key's identity
        tenant: acme
        key: r1-…             # the text, or
        # hash: 64 hexadecimal characters, HMAC-SHA256 of the text under the pepper
        rpm: 60               # and any other term of a key

All gateways may declare the same file at every start, and again when the store was emptied: what is
there already is left alone.
Another text takes the place of the one before at once. A key that is taken out of the file
goes on until it is revoked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateway.auth.keys import hint_of, is_well_formed
from gateway.auth.register import KeyRegister, declared_address, declared_id
from gateway.auth.terms import NewKey
from gateway.config import ConfigError, fault_lines
from gateway.store.redis import StoreDown

_FIELD = "auth.bootstrap_file"
_RETRY_S = 2.0


class DeclaredKey(NewKey):
    """One key of the file."""

    key: str | None = None
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, key: str | None) -> str | None:
        if key is not None and not is_well_formed(key):
            raise ValueError("is not the text of a key: `r1-` and 38 characters, checksum included")
        return key

    @model_validator(mode="after")
    def _has_one_of_both(self) -> DeclaredKey:
        if (self.key is None) == (self.hash is None):
            raise ValueError("give one of key and hash")
        return self


class BootstrapFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[DeclaredKey, ...] = ()

    @model_validator(mode="after")
    def _each_is_there_once(self) -> BootstrapFile:
        seen: set[tuple[str, ...]] = set()
        for number, each in enumerate(self.keys):
            for mark in ((each.tenant, each.name), (each.key or each.hash or "",)):
                if mark in seen:
                    raise ValueError(
                        f"keys.{number}: {each.name!r} of tenant {each.tenant!r} has the name or "
                        "the text of a key above it; give it its own"
                    )
                seen.add(mark)
        return self


def read(path: Path | None) -> tuple[DeclaredKey, ...]:
    """The keys in the file, none without one. ConfigError names what is wrong, never a key."""
    if path is None:
        return ()
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{_FIELD}: {path} can't be read; mount it, or remove the field") from (
            error
        )
    except yaml.YAMLError as error:
        # The parser's message may quote a key.
        raise ConfigError(f"{_FIELD}: {path} is not valid YAML") from error
    try:
        return BootstrapFile.model_validate({} if data is None else data).keys
    except ValidationError as error:
        faults = error.errors(include_input=False)
        raise ConfigError("\n".join(fault_lines(faults, prefix=f"{_FIELD}: "))) from None


async def keep_declared(
    register: KeyRegister,
    keys: tuple[DeclaredKey, ...],
    logger: logging.Logger,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Declare the keys at the start, and again whenever the store was emptied; until cancelled.

    A store is another one when its epoch is. A key that is revoked meanwhile stays revoked.
    """
    known = ""
    while keys:
        try:
            epoch = await register.epoch()
        except StoreDown:
            if not known:
                logger.warning("bootstrap_waits_for_store")
        else:
            if epoch != known:
                await declare(register, keys, logger, sleep)
                known = epoch
        await sleep(_RETRY_S)


async def declare(
    register: KeyRegister,
    keys: tuple[DeclaredKey, ...],
    logger: logging.Logger,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Make sure that the keys are in the store; waits for the store as long as it takes."""
    waiting = list(keys)
    while waiting:
        try:
            await _declare_one(register, waiting[0])
            waiting.pop(0)
        except StoreDown:
            logger.warning("bootstrap_waits_for_store")
            await sleep(_RETRY_S)
    if keys:
        logger.info("bootstrapped", extra={"fields": {"keys": len(keys)}})


async def _declare_one(register: KeyRegister, each: DeclaredKey) -> None:
    if each.key is not None:
        address, hint = register.address(each.key), hint_of(each.key)
    else:
        address, hint = declared_address(each.hash or ""), "…"
    await register.declare(declared_id(each.tenant, each.name), address, hint, each)
