"""`/admin/canary`: how replicas stand with the canary, and recording what they compute."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends

from gateway.api.admin import Guard
from gateway.canary.board import CanaryBoard
from gateway.errors import NotFound


def make_canary_router(board: CanaryBoard, models: Sequence[str], guard: Guard) -> APIRouter:
    """The routes, open to those whom `guard` lets pass; `models` have a canary."""
    router = APIRouter(prefix="/admin/canary", dependencies=[Depends(guard)])

    async def show() -> dict[str, Any]:
        """Each model's last round."""
        data = []
        for each in models:
            state, heard = await board.state(each), await board.heard(each)
            data.append({"model": each, **state.dump(), **asdict(heard)})
        return {"object": "list", "data": data}

    async def record(model: str) -> dict[str, Any]:
        """Have the next round record what the replicas compute; its state then has this wish."""
        if model not in models:
            known = ", ".join(models) or "none: canary.mode is off"
            raise NotFound(f"No model {model!r} with a canary. Those that have one: {known}.")
        wish = secrets.token_hex(8)
        await board.wish(model, wish)
        return {"model": model, "wish": wish}

    router.add_api_route("", show, methods=["GET"])
    router.add_api_route("/{model:path}", record, methods=["POST"])
    return router
