"""`/user/balance`: what is left of the caller's budget, as DeepSeek's API has it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.auth.authenticate import Authenticator, credentials
from gateway.errors import StoreUnavailable
from gateway.limits.balance import balance
from gateway.limits.ledger import Ledger, Spent
from gateway.store.redis import StoreDown


def make_router(authenticate: Authenticator, ledger: Ledger) -> APIRouter:
    """The route, with and without `/v1`."""
    router = APIRouter()

    async def user_balance(request: Request) -> dict[str, Any]:
        """The balance of the key."""
        key = await authenticate(credentials(request.headers.get))
        if not key.terms.budgeted:
            return balance(key.terms, Spent(0, 0, 0, 0))
        try:
            (spent,) = await ledger.spent([key.id])
        except StoreDown as error:
            raise StoreUnavailable(
                "The balance can't be read at the moment; try again shortly.", retry_after_s=2
            ) from error
        return balance(key.terms, spent)

    for prefix in ("/v1", ""):
        router.add_api_route(f"{prefix}/user/balance", user_balance, methods=["GET"])
    return router
