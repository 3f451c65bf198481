"""What the store says about a key's limits, and what its caller is told. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.auth.terms import Terms
from gateway.call import Header
from gateway.errors import BudgetSpent, GatewayError, RateLimited

OK = "ok"
PARALLEL = "parallel"


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer to a reservation; times are in seconds.

    `verdict` is ok, requests, tokens, parallel, held (running requests hold what is left of a
    budget) or the name of the budget that is spent.
    """

    verdict: str
    second: int
    """When it was counted, in seconds since 1970 by the store's clock."""
    requests: int = 0
    requests_reset_s: float = 0.0
    tokens: int = 0
    tokens_reset_s: float = 0.0
    wait_s: float = 0.0
    day: str = ""

    @staticmethod
    def read(reply: list[str]) -> Standing:
        """From what the script RESERVE gives."""
        verdict, second, requests, requests_reset, tokens, tokens_reset, wait, day = reply
        return Standing(
            verdict,
            int(second),
            int(requests),
            float(requests_reset),
            int(tokens),
            float(tokens_reset),
            float(wait),
            day,
        )

    def headers(self, terms: Terms) -> list[Header]:
        """OpenAI's `x-ratelimit-…` headers for the limits that the key has."""
        headers: list[Header] = []
        for name, limit, used, reset_s in (
            (b"requests", terms.rpm, self.requests, self.requests_reset_s),
            (b"tokens", terms.tpm, self.tokens, self.tokens_reset_s),
        ):
            if limit is not None:
                headers.append((b"x-ratelimit-limit-" + name, b"%d" % limit))
                headers.append((b"x-ratelimit-remaining-" + name, b"%d" % max(0, limit - used)))
                headers.append((b"x-ratelimit-reset-" + name, span(reset_s).encode()))
        return headers

    def refusal(self, terms: Terms, wished: int) -> GatewayError | None:
        """The error for a reservation that was refused; `wished` are its tokens."""
        if self.verdict == OK:
            return None
        if self.verdict == "requests":
            message = f"The key's limit of {terms.rpm} requests a minute is reached."
        elif self.verdict == "tokens":
            message = (
                f"The key's limit of {terms.tpm} tokens a minute is reached: {self.tokens} are "
                f"used or reserved, and this request may take {wished}."
            )
        elif self.verdict == PARALLEL:
            message = f"The key's limit of {terms.parallel} requests at a time is reached."
        elif self.verdict == "held":
            message = "Running requests may use up what is left of the key's budget."
        else:
            renewed = renewal(self.day, monthly=self.verdict.endswith("month"))
            return BudgetSpent(
                f"The key's budget {self.verdict} ({getattr(terms, self.verdict):g}) is used up. "
                f"It is renewed on {renewed} at 00:00 UTC."
            )
        wait_s = math.ceil(max(1.0, self.wait_s))
        error = RateLimited(f"{message} Try again in {wait_s} s.", retry_after_s=wait_s)
        if self.verdict == "tokens":
            error.type = "tokens"
        return error


def too_large(terms: Terms, prompt: int) -> RateLimited | None:
    """The error for a prompt that could not pass even if nothing else was used."""
    if terms.tpm is None or prompt <= terms.tpm:
        return None
    error = RateLimited(
        f"The prompt alone has about {prompt} tokens and the key's limit is {terms.tpm} tokens a "
        "minute. Shorten it, or have the limit raised.",
        retry_after_s=60,
    )
    error.type = "tokens"
    error.retry = False
    return error


def renewal(day: str, *, monthly: bool) -> str:
    """The day on which a budget begins anew: the one after `day`, or the next month's first."""
    today = date.fromisoformat(day)
    if not monthly:
        return (today + timedelta(days=1)).isoformat()
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1).isoformat()


def span(seconds: float) -> str:
    """A time as OpenAI's headers have it: `350ms`, `12s`, `1m1s`; rounded up."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
