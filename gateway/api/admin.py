"""The admin port: metrics of all workers together, and keys."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.responses import PlainTextResponse, Response

from gateway.auth.register import KeyRegister
from gateway.errors import Forbidden, NotFound, StoreUnavailable, Unauthorized
from gateway.store.redis import StoreDown

Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class NewKey(BaseModel):
    """What a new key is for."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    tenant: Name = "default"


def make_metrics_router(render: Callable[[], str]) -> APIRouter:
    """`/metrics` in Prometheus' text format."""
    router = APIRouter()

    async def metrics() -> Response:
        """All workers' metrics, joined."""
        return PlainTextResponse(render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    router.add_api_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
    return router


def admin_only(admin_key: str | None) -> Callable[[Request], Awaitable[None]]:
    """Lets pass who has the admin key as bearer token; nobody where there is none."""

    async def allowed(request: Request) -> None:
        if admin_key is None:
            raise Forbidden("No admin key is configured: set admin.key_file.", code="admin_closed")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode(), admin_key.encode()
        ):
            raise Unauthorized("The admin key is missing or wrong.", reason="admin")

    return allowed


def make_keys_router(
    register: KeyRegister, allowed: Callable[[Request], Awaitable[None]]
) -> APIRouter:
    """`/admin/keys`: create, list, revoke; open to those whom `allowed` lets pass."""
    router = APIRouter(prefix="/admin/keys", dependencies=[Depends(allowed)])

    async def create(new: NewKey) -> dict[str, Any]:
        """Make a key; its text is in this answer and never again."""
        try:
            created = await register.create(name=new.name, tenant=new.tenant)
        except StoreDown as error:
            raise _unavailable() from error
        return {"key": created.key, **asdict(created.record)}

    async def list_keys() -> dict[str, Any]:
        """All keys, without their text."""
        try:
            records = await register.list()
        except StoreDown as error:
            raise _unavailable() from error
        return {"object": "list", "data": [asdict(record) for record in records]}

    async def revoke(key_id: str) -> dict[str, Any]:
        """End a key."""
        try:
            found = await register.revoke(key_id)
        except StoreDown as error:
            raise _unavailable() from error
        if not found:
            raise NotFound(f"There is no key {key_id!r}.", code="key_not_found")
        return {"id": key_id, "revoked": True}

    router.add_api_route("", create, methods=["POST"], status_code=201)
    router.add_api_route("", list_keys, methods=["GET"])
    router.add_api_route("/{key_id}", revoke, methods=["DELETE"])
    return router


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("The store can't be reached; try again shortly.", retry_after_s=2)
