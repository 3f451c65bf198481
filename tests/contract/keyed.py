"""Calls with keys that have terms, and what is told of them."""

from __future__ import annotations

from typing import Any

import httpx

from gateway.auth import manage
from gateway.auth.register import CreatedKey
from tests.contract.stack import HTTP, Gateway, chat

LEASE_S = 2.0
PRICES = {"input_miss": 0.14, "input_hit": 0.014, "output": 2.19}


def make(gateway: Gateway, name: str = "limited", **terms: Any) -> CreatedKey:
    return manage.create_key(
        gateway.redis.url, gateway.pepper_file, name=name, tenant="acme", **terms
    )


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def ask(gateway: Gateway, key: str, **body: Any) -> httpx.Response:
    return HTTP.post(
        gateway.url + "/v1/chat/completions", json=chat(**body), headers=bearer(key), timeout=30
    )


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def admin(gateway: Gateway, path: str, **query: str) -> httpx.Response:
    url = f"{gateway.admin_url}/admin/{path}"
    return HTTP.get(url, params=query, headers=bearer(gateway.admin_key))


def used(gateway: Gateway, key_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = admin(gateway, "usage", key=key_id).json().get("data", [])
    return rows


def requests_used(gateway: Gateway, key_id: str) -> int:
    return sum(row["requests"] for row in used(gateway, key_id))
