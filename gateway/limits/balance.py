"""A key's balance as DeepSeek's API tells it. Pure."""

from __future__ import annotations

from typing import Any

from gateway.auth.terms import Terms
from gateway.limits.ledger import Spent
from gateway.limits.prices import dollars, nano


def balance(terms: Terms, spent: Spent) -> dict[str, Any]:
    """What is left of the money budgets: the tighter one, as granted credit.

    A key without a money budget has no amount to tell: its list is empty. It is available
    while no budget, of reasoning tokens neither, is used up.
    """
    left = [
        max(0, nano(budget) - used)
        for budget, used in (
            (terms.usd_per_day, spent.usd_day),
            (terms.usd_per_month, spent.usd_month),
        )
        if budget is not None
    ]
    infos = []
    if left:
        amount = dollars(min(left), places=2)
        infos.append(
            {
                "currency": "USD",
                "total_balance": amount,
                "granted_balance": amount,
                "topped_up_balance": "0.00",
            }
        )
    available = all(share < 1.0 for share in spent.shares(terms))
    return {"is_available": available, "balance_infos": infos}
