"""`/v1/models`: which models there are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from gateway.auth.authenticate import Authenticator
from gateway.router import Router
from gateway.upstream.pool import Model


def make_router(authenticate: Authenticator, models: Router, *, created: int) -> APIRouter:
    """The routes; `created` is what the list gives as each model's time of creation."""

    async def known(request: Request) -> None:
        await authenticate(request.headers.get("authorization"))

    router = APIRouter(dependencies=[Depends(known)])

    async def list_models() -> dict[str, Any]:
        """All models."""
        return {"object": "list", "data": [_card(model, created) for model in models.models]}

    async def one_model(name: str) -> dict[str, Any]:
        """One model, by its id or an alias."""
        return _card(models.find(name), created)

    for prefix in ("/v1", ""):
        router.add_api_route(f"{prefix}/models", list_models, methods=["GET"])
        router.add_api_route(f"{prefix}/models/{{name:path}}", one_model, methods=["GET"])
    return router


def _card(model: Model, created: int) -> dict[str, Any]:
    lengths = [each.context_length for each in model.upstreams if each.context_length is not None]
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": "r1",
        "aliases": list(model.settings.aliases),
        "max_model_len": min(lengths) if lengths else None,
    }
