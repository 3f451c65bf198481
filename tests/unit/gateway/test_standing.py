"""What callers and operators are told about limits and budgets."""

from __future__ import annotations

from dataclasses import replace

from gateway.auth.keys import KeyRecord
from gateway.auth.terms import Terms
from gateway.errors import BudgetSpent, RateLimited
from gateway.limits.balance import balance
from gateway.limits.ledger import Spent
from gateway.limits.standing import Standing, renewal, span, too_large
from gateway.limits.watch import count_expiring, count_near

KEY = KeyRecord("key_1", "shop", "acme", 0, "r1-abcd…")


def test_what_a_refused_caller_is_told() -> None:
    terms = Terms(rpm=5, tpm=100, parallel=2, usd_per_day=1.5, reasoning_tokens_per_month=9)
    base = Standing("ok", 1, 5, 59.2, 80, 0.35, 12.2, "2027-01-31")
    assert base.refusal(terms, 9) is None
    for verdict, kind, wait in (
        ("requests", "requests", "13"),
        ("tokens", "tokens", "13"),
        ("parallel", "requests", "13"),
        ("held", "requests", "13"),
    ):
        error = replace(base, verdict=verdict).refusal(terms, 9)
        assert isinstance(error, RateLimited)
        assert (error.type, dict(error.headers())[b"retry-after"]) == (kind, wait.encode())
    for verdict, day in (
        ("usd_per_day", "2027-02-01"),
        ("reasoning_tokens_per_month", "2027-02-01"),
    ):
        spent = replace(base, verdict=verdict).refusal(terms, 9)
        assert isinstance(spent, BudgetSpent)
        assert verdict in spent.message
        assert day in spent.message
    assert dict(base.headers(terms)) == {
        b"x-ratelimit-limit-requests": b"5",
        b"x-ratelimit-remaining-requests": b"0",
        b"x-ratelimit-reset-requests": b"1m0s",
        b"x-ratelimit-limit-tokens": b"100",
        b"x-ratelimit-remaining-tokens": b"20",
        b"x-ratelimit-reset-tokens": b"350ms",
    }
    assert base.headers(Terms(parallel=1)) == []
    assert too_large(terms, 100) is None
    large = too_large(terms, 101)
    assert large is not None
    assert (large.type, large.retry) == ("tokens", False)


def test_times() -> None:
    assert [span(each) for each in (0, 0.0201, 1, 59.01, 61, 3600)] == [
        "0s",
        "21ms",
        "1s",
        "1m0s",
        "1m1s",
        "60m0s",
    ]
    assert renewal("2027-12-31", monthly=False) == "2028-01-01"
    assert renewal("2027-12-31", monthly=True) == "2028-01-01"
    assert renewal("2027-01-31", monthly=True) == "2027-02-01"


def test_the_balance_is_the_tighter_budgets() -> None:
    terms = Terms(usd_per_day=1.0, usd_per_month=5.0, reasoning_tokens_per_day=10)
    told = balance(terms, Spent(250_000_000, 4_500_000_001, 3, 3))
    assert told["is_available"] is True
    assert told["balance_infos"][0] == {
        "currency": "USD",
        "total_balance": "0.49",
        "granted_balance": "0.49",
        "topped_up_balance": "0.00",
    }
    assert balance(terms, Spent(0, 0, 10, 10))["is_available"] is False
    over = balance(terms, Spent(2 * 10**9, 2 * 10**9, 0, 0))
    assert (over["is_available"], over["balance_infos"][0]["total_balance"]) == (False, "0.00")
    assert balance(Terms(rpm=1), Spent(0, 0, 0, 0)) == {"is_available": True, "balance_infos": []}


def test_keys_that_will_soon_stop_working_are_counted() -> None:
    ends = (None, 900, 1000, 1001, 1050, 1101)
    records = [replace(KEY, terms=Terms(expires=end)) for end in ends]
    assert count_expiring(records, now=1000.0, within_s=100) == 2
    budgeted = replace(KEY, terms=Terms(usd_per_day=1.0, reasoning_tokens_per_month=100))
    spent = [Spent(8 * 10**8, 0, 0, 0), Spent(0, 0, 0, 79), Spent(0, 0, 0, 200)]
    assert count_near([budgeted] * 3, spent, 0.8) == 2
