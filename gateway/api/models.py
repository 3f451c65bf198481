"""`/v1/models`: which models there are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.auth.authenticate import Authenticator, credentials
from gateway.auth.permit import may_use, permit
from gateway.router import Router
from gateway.upstream.pool import Model


def make_router(authenticate: Authenticator, models: Router, *, created: int) -> APIRouter:
    """The routes; `created` is what the list gives as each model's time of creation."""

    router = APIRouter()

    async def list_models(request: Request) -> dict[str, Any]:
        """All models that the key may use."""
        key = await authenticate(credentials(request.headers.get))
        usable = [model for model in models.models if may_use(key, model.settings)]
        return {"object": "list", "data": [_card(model, created) for model in usable]}

    async def one_model(name: str, request: Request) -> dict[str, Any]:
        """One model, by its id or an alias."""
        key = await authenticate(credentials(request.headers.get))
        model = models.find(name)
        permit(key, model.settings)
        return _card(model, created)

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
