"""What an answer costs. Pure.

Money is counted in whole 10^-9 USD, so that sums are exact: $0.14 for a million tokens is 140 of
them for one token.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from gateway.model_settings import Prices
from gateway.protocol.usage import Usage

NANO = 10**9


def cost(usage: Usage, prices: Prices) -> int:
    """The cost of these tokens in 10^-9 USD, rounded once for the whole answer."""
    hit = prices.input_miss if prices.input_hit is None else prices.input_hit
    cached = min(usage.cached, usage.prompt)
    return _times(
        (usage.prompt - cached, prices.input_miss),
        (cached, hit),
        (usage.completion, prices.output),
    )


def nano(usd: float) -> int:
    """An amount of USD in 10^-9 USD."""
    return int((Decimal(str(usd)) * NANO).to_integral_value(ROUND_HALF_EVEN))


def dollars(amount: int, places: int = 9) -> str:
    """10^-9 USD as USD with so many decimals, rounded down: what is shown is really there."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, part = divmod(amount, NANO)
    return f"{sign}{whole}.{part:09d}"[: len(f"{sign}{whole}.") + places]


def _times(*parts: tuple[int, float]) -> int:
    total = sum((tokens * _each(price) for tokens, price in parts if tokens and price), Decimal(0))
    return int(total.to_integral_value(ROUND_HALF_EVEN))


@lru_cache(maxsize=1024)
def _each(price: float) -> Decimal:
    # USD for a million tokens is 1000 times 10^-9 USD for one.
    return Decimal(str(price)) * 1000
