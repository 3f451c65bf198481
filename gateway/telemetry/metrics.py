"""The gateway's metrics: their names, and one method for each thing that happens.

Label values are bounded: models and upstreams come from the configuration (`unknown` for a
model that isn't in it), replicas that register themselves are numbered, tenants are at most 50
and `other`, all others are from fixed sets. Never a key, a prompt or a path.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.protocol.usage import Usage
from gateway.telemetry.families import UNKNOWN, Distribution, Family, Meter

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_TTFT = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 4, 8, 15, 30, 60, 120)
_ITL = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5)

REQUESTS = Family(
    "r1_requests_total", "counter", "Requests answered, by HTTP status.", ("api", "model", "code")
)
DURATION = Family(
    "r1_request_duration_seconds",
    "histogram",
    "Time from a request's arrival to the end of its answer.",
    ("api", "model"),
    _LATENCY,
)
TTFT = Family(
    "r1_time_to_first_token_seconds",
    "histogram",
    "Time to the first token of an answer, by uncached prompt tokens.",
    ("model", "cache", "prompt_bucket"),
    _TTFT,
)
TTFC = Family(
    "r1_time_to_first_content_seconds",
    "histogram",
    "Time to the first token after the reasoning.",
    ("model",),
    _LATENCY,
)
ITL = Family(
    "r1_inter_token_latency_seconds",
    "histogram",
    "Time between two tokens of a stream.",
    ("model",),
    _ITL,
)
TOKENS = Family("r1_tokens_total", "counter", "Tokens of finished answers.", ("model", "kind"))
INFLIGHT = Family("r1_inflight_requests", "gauge", "Requests being worked on.", ("model",))
ATTEMPTS = Family(
    "r1_upstream_attempts_total",
    "counter",
    "Attempts at upstreams, by how they ended.",
    ("model", "upstream", "outcome"),
)
UPSTREAM_UP = Family(
    "r1_upstream_up",
    "gauge",
    "1 if the last look at the upstream found it healthy.",
    ("model", "upstream"),
    across="max",
)
CACHE = Family(
    "r1_cache_requests_total",
    "counter",
    "Requests, by what the answer cache had for them.",
    ("model", "result"),
)
BREAKER_STATE = Family(
    "r1_breaker_state",
    "gauge",
    "0 while the upstream is asked, 2 while it is left alone, 1 while it is being tried again.",
    ("model", "upstream"),
    across="max",
)
RETRY_BUDGET = Family(
    "r1_retry_budget_ratio",
    "gauge",
    "Share of the retry budget that was left at the last retry.",
    ("model",),
    across="min",
)
LANGUAGE = Family(
    "r1_language_guard_total",
    "counter",
    "Answers that mix languages, by what was done.",
    ("model", "action"),
)
RESUMES = Family(
    "r1_resumes_total",
    "counter",
    "Streams whose model server was lost in the middle, by what became of them.",
    ("model", "outcome"),
)
REJECTIONS = Family(
    "r1_rejections_total",
    "counter",
    "Requests refused before they reached an upstream.",
    ("model", "reason"),
)
ENDINGS = Family(
    "r1_stream_endings_total", "counter", "Streams, by how they ended.", ("model", "reason")
)
DISCONNECTS = Family(
    "r1_disconnects_total", "counter", "Callers who left before the end.", ("model",)
)
AUTH_FAILURES = Family("r1_auth_failures_total", "counter", "Keys refused.", ("reason",))
STORE_ERRORS = Family(
    "r1_store_errors_total", "counter", "Store operations that failed.", ("operation",)
)
STORE_DEGRADED = Family(
    "r1_store_degraded",
    "gauge",
    "1 while a worker's last store operation failed.",
    across="max",
)
COST = Family(
    "r1_cost_usd_total",
    "counter",
    "Cost of answers in USD, by the prices configured; the 50 largest tenants by name.",
    ("model", "tenant"),
)
KEYS_EXPIRING = Family(
    "r1_keys_expiring",
    "gauge",
    "Keys that expire within limits.expiring_days.",
    across="max",
)
KEYS_NEAR_BUDGET = Family(
    "r1_keys_near_budget",
    "gauge",
    "Keys that have spent limits.near_budget_ratio or more of a budget.",
    across="max",
)

FAMILIES = (
    REQUESTS,
    DURATION,
    TTFT,
    TTFC,
    ITL,
    TOKENS,
    INFLIGHT,
    ATTEMPTS,
    CACHE,
    UPSTREAM_UP,
    BREAKER_STATE,
    RETRY_BUDGET,
    LANGUAGE,
    RESUMES,
    REJECTIONS,
    ENDINGS,
    DISCONNECTS,
    AUTH_FAILURES,
    STORE_ERRORS,
    STORE_DEGRADED,
    COST,
    KEYS_EXPIRING,
    KEYS_NEAR_BUDGET,
)


def prompt_bucket(tokens: int) -> str:
    """The label of a prompt's length in uncached tokens."""
    if tokens <= 0:
        return "unknown"
    for limit, label in ((2048, "2k"), (8192, "8k"), (32768, "32k")):
        if tokens <= limit:
            return label
    return "more"


class Metrics:
    """One method for each thing that happens; each is a few additions in memory."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        meter.reset_gauges(FAMILIES)
        self._degraded = meter.number(STORE_DEGRADED)

    @contextmanager
    def working(self, model: str) -> Iterator[None]:
        """A request for a known model is being worked on."""
        inflight = self._meter.number(INFLIGHT, model)
        inflight.add(1)
        try:
            yield
        finally:
            inflight.add(-1)

    def request_done(self, api: str, model: str, status: int, seconds: float) -> None:
        """A request was answered (`status` 499: the caller left first)."""
        self._meter.number(REQUESTS, api, model, str(status)).add()
        self._meter.distribution(DURATION, api, model).observe(seconds)

    def first_token(self, model: str, cache: str, prompt_tokens: int, seconds: float) -> None:
        """The first token of a stream was sent; `prompt_tokens` as `prompt_bucket` wants them."""
        bucket = prompt_bucket(prompt_tokens)
        self._meter.distribution(TTFT, model, cache, bucket).observe(seconds)

    def first_content(self, model: str, seconds: float) -> None:
        """The first token after the reasoning was sent."""
        self._meter.distribution(TTFC, model).observe(seconds)

    def token_gaps(self, model: str) -> Distribution:
        """Where the times between a model's tokens are counted."""
        return self._meter.distribution(ITL, model)

    def usage(self, model: str, usage: Usage) -> None:
        """An answer's tokens."""
        for kind, amount in (
            ("prompt", usage.prompt),
            ("completion", usage.completion),
            ("reasoning", usage.reasoning),
            ("cached", usage.cached),
        ):
            self._meter.number(TOKENS, model, kind).add(amount)

    def cache_asked(self, model: str, result: str) -> None:
        """The cache was asked: hit, miss, coalesced, stale or bypass."""
        self._meter.number(CACHE, model, result).add()

    def attempt(self, model: str, upstream: str, outcome: str) -> None:
        """An attempt at an upstream ended."""
        self._meter.number(ATTEMPTS, model, upstream, outcome).add()

    def upstream_up(self, model: str, upstream: str, up: bool) -> None:
        """A look at an upstream's health."""
        self._meter.number(UPSTREAM_UP, model, upstream).set(1.0 if up else 0.0)

    def upstream_gone(self, model: str, upstream: str) -> None:
        """An upstream is there no more: nothing is known of its health."""
        self._meter.number(UPSTREAM_UP, model, upstream).set(UNKNOWN)
        self._meter.number(BREAKER_STATE, model, upstream).set(UNKNOWN)

    def breaker(self, model: str, upstream: str, state: int) -> None:
        """An upstream's breaker closed (0), half opened (1) or opened (2)."""
        self._meter.number(BREAKER_STATE, model, upstream).set(state)

    def retry_budget(self, model: str, ratio: float) -> None:
        """A retry was granted or refused."""
        self._meter.number(RETRY_BUDGET, model).set(ratio)

    def language_mixed(self, model: str, action: str) -> None:
        """An answer mixes languages; `action` is counted or retried."""
        self._meter.number(LANGUAGE, model, action).add()

    def resumed(self, model: str, outcome: str) -> None:
        """A stream lost its model server: it was continued to its end (ok) or not."""
        self._meter.number(RESUMES, model, outcome).add()

    def rejected(self, model: str, reason: str) -> None:
        """A request was refused before it reached an upstream."""
        self._meter.number(REJECTIONS, model, reason).add()

    def stream_ended(self, model: str, reason: str) -> None:
        """A stream ended: done, or why not."""
        self._meter.number(ENDINGS, model, reason).add()

    def disconnected(self, model: str) -> None:
        """A caller left before the end."""
        self._meter.number(DISCONNECTS, model).add()

    def auth_failed(self, reason: str) -> None:
        """A key was refused."""
        self._meter.number(AUTH_FAILURES, reason).add()

    def store_ok(self) -> None:
        """A store operation succeeded."""
        self._degraded.set(0.0)

    def store_failed(self, operation: str) -> None:
        """A store operation failed."""
        self._degraded.set(1.0)
        self._meter.number(STORE_ERRORS, operation).add()

    def cost(self, model: str, tenant: str, usd: float) -> None:
        """An answer's cost; `tenant` is a name of the largest ones, or `other`."""
        self._meter.number(COST, model, tenant).add(usd)

    def keys(self, *, expiring: int, near_budget: int) -> None:
        """How many keys will soon stop working."""
        self._meter.number(KEYS_EXPIRING).set(expiring)
        self._meter.number(KEYS_NEAR_BUDGET).set(near_budget)
