"""Faults of the plain routes as answers."""

from __future__ import annotations

import httpx
from fastapi import FastAPI

from gateway.api import faults
from gateway.store.redis import StoreDown


async def test_a_route_without_its_store_says_try_again() -> None:
    app = FastAPI()
    faults.install(app)

    async def keys() -> None:
        raise StoreDown("TimeoutError")

    app.add_api_route("/admin/keys", keys)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        answer = await client.get("/admin/keys")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["error"]["code"] == "store_unavailable"
