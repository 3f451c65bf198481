"""Two tenants of one gateway, and what they ask."""

from __future__ import annotations

import itertools
from typing import Any

import httpx

from gateway.auth import manage
from gateway.auth.register import CreatedKey
from tests.contract.keyed import bearer
from tests.contract.stack import HTTP, Gateway, chat

_NUMBERS = itertools.count()


def tenant(gateway: Gateway, name: str, **terms: Any) -> CreatedKey:
    """A key of a tenant."""
    return manage.create_key(
        gateway.redis.url, gateway.pepper_file, name="safety", tenant=name, **terms
    )


def ask(
    gateway: Gateway,
    key: str,
    path: str = "/v1/chat/completions",
    headers: dict[str, str] | None = None,
    **body: Any,
) -> httpx.Response:
    """A chat request with a key."""
    return HTTP.post(
        gateway.url + path,
        json=chat(**body),
        headers={**bearer(key), **(headers or {})},
        timeout=30,
    )


def question() -> list[dict[str, str]]:
    """One that nobody has asked."""
    return [{"role": "user", "content": f"What is {next(_NUMBERS)}+5?"}]
