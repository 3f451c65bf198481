"""The admin port: metrics of all workers together, keys, usage."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gateway.auth.keys import is_well_formed
from gateway.auth.permit import require_scope
from gateway.auth.register import CreatedKey, KeyRegister, KeyState
from gateway.auth.terms import NewKey
from gateway.errors import Forbidden, InvalidRequest, NotFound, Unauthorized
from gateway.limits import usage
from gateway.store.redis import Store
from gateway.telemetry.exposition import media_type

Guard = Callable[[Request], Awaitable[None]]


class Rotation(BaseModel):
    """How a key's text is replaced."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: Annotated[float, Field(ge=0, le=366 * 86400)] = 86400.0


def make_metrics_router(render: Callable[[str], str]) -> APIRouter:
    """`/metrics` in Prometheus' text format or OpenMetrics; `render` gets the media type."""
    router = APIRouter()

    async def metrics(request: Request) -> Response:
        """All workers' metrics, joined."""
        form = media_type(request.headers.get("accept", ""))
        return PlainTextResponse(render(form), media_type=form)

    router.add_api_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
    return router


def admins_only(register: KeyRegister, admin_key: str | None, now: Callable[[], float]) -> Guard:
    """Lets the admin key pass, and keys that have the scope `admin`; as bearer token."""

    async def allowed(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        given = given.strip() if scheme.lower() == "bearer" else ""
        if admin_key is not None and hmac.compare_digest(given.encode(), admin_key.encode()):
            return
        if is_well_formed(given):
            # Asked each time: what an administrator may do ends with the key, at once.
            record = await register.find(register.address(given))
            if record is not None and not record.ended(now()):
                require_scope(record, "admin")
                return
        if admin_key is None:
            raise Forbidden(
                "No admin key is configured: set admin.key_file, or use a key with the scope "
                "'admin'.",
                code="admin_closed",
            )
        raise Unauthorized("The admin key is missing or wrong.", reason="admin")

    return allowed


def make_keys_router(register: KeyRegister, guard: Guard) -> APIRouter:
    """`/admin/keys`: create, list, show, rotate, revoke."""
    router = APIRouter(prefix="/admin/keys", dependencies=[Depends(guard)])

    async def create(new: NewKey) -> dict[str, Any]:
        """Make a key; its text is in this answer and never again."""
        return _shown(await register.create(new))

    async def list_keys() -> dict[str, Any]:
        """All keys, without their text."""
        states = await register.all()
        return {"object": "list", "data": [_public(state) for state in states]}

    async def show(key_id: str) -> dict[str, Any]:
        """One key; while a rotation's overlap lasts, with the texts that are on their way out."""
        states = await register.show(key_id)
        if not states:
            raise _no_key(key_id)
        leaving = [
            {"hint": state.record.hint, "retires": state.record.retires} for state in states[1:]
        ]
        return {**_public(states[0]), "leaving": leaving}

    async def rotate(key_id: str, rotation: Rotation | None = None) -> dict[str, Any]:
        """Give a key another text; it is in this answer and never again."""
        overlap_s = (rotation or Rotation()).overlap_s
        rotated = await register.rotate(key_id, overlap_s)
        if rotated is None:
            raise _no_key(key_id)
        return _shown(rotated)

    async def revoke(key_id: str) -> dict[str, Any]:
        """End a key."""
        found = await register.revoke(key_id)
        if not found:
            raise _no_key(key_id)
        return {"id": key_id, "revoked": True}

    router.add_api_route("", create, methods=["POST"], status_code=201)
    router.add_api_route("", list_keys, methods=["GET"])
    router.add_api_route("/{key_id}", show, methods=["GET"])
    router.add_api_route("/{key_id}", revoke, methods=["DELETE"])
    router.add_api_route("/{key_id}/rotate", rotate, methods=["POST"])
    return router


def make_usage_router(store: Store, guard: Guard) -> APIRouter:
    """`/admin/usage`: per key, model and day, as JSON or CSV."""
    router = APIRouter(dependencies=[Depends(guard)])

    async def read(
        first: Annotated[date | None, Query(alias="from")] = None,
        last: Annotated[date | None, Query(alias="to")] = None,
        key: str | None = None,
        form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    ) -> Response:
        """The last 30 days, or those asked for."""
        last = last or datetime.now(UTC).date()
        first = first or last - timedelta(days=29)
        try:
            days = usage.days_between(first, last)
        except ValueError as error:
            raise InvalidRequest(f"'from': {error}.", param="from") from error
        rows = await usage.read(store, days, key)
        if form == "csv":
            return PlainTextResponse(usage.as_csv(rows), media_type="text/csv; charset=utf-8")
        return JSONResponse({"object": "list", "data": [row.public() for row in rows]})

    router.add_api_route("/admin/usage", read, methods=["GET"])
    return router


def _shown(created: CreatedKey) -> dict[str, Any]:
    return {"key": created.key, **created.record.public()}


def _public(state: KeyState) -> dict[str, Any]:
    return {**state.record.public(), "last_used": state.used}


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"There is no key {key_id!r}.", code="key_not_found")
