"""The gateway's metrics: their names, and one method for each thing that happens.

Label values are bounded: models and upstreams come from the configuration (`unknown` for a
model that isn't in it), replicas that register themselves are numbered, tenants are at most 50
and `other`, all others are from fixed sets. Never a key, a prompt or a path.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.protocol.usage import Usage
from gateway.store.redis import StoreName
from gateway.telemetry.families import UNKNOWN, Distribution, Family, Meter, Number
from gateway.telemetry.tenants import OTHER
from gateway.telemetry.trace import Trace
from gateway.telemetry.zeros import (
    CANARY_OUTCOMES,
    FAULTY_CODES,
    FAULTY_ENDINGS,
    RELOAD_RESULTS,
    Zeros,
)

# Whole answers: up to the longest one allowed by default, 90 minutes.
_LATENCY = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    *(60, 120, 300, 600, 1200, 1800, 3600, 5400),
)
_TTFT = (
    *(0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 4, 8, 15, 30),
    *(60, 120, 300, 600),
)
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
    "Time to the first token of a stream, by its uncached prompt tokens.",
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
    "Time between two tokens of a stream; those that come together share it.",
    ("model",),
    _ITL,
)
TOKENS = Family("r1_tokens_total", "counter", "Tokens of finished answers.", ("model", "kind"))
INFLIGHT = Family("r1_inflight_requests", "gauge", "Requests being worked on.", ("model",))
QUEUE_DEPTH = Family(
    "r1_queue_depth", "gauge", "Requests that wait for a place.", ("model", "class")
)
QUEUE_WAIT = Family(
    "r1_queue_wait_seconds",
    "histogram",
    "Time that requests waited for a place, where they had to.",
    ("model", "class"),
    _LATENCY,
)
BATCH_WINDOW = Family(
    "r1_batch_window",
    "gauge",
    "Requests that one replica may decode at once, on average over the replicas.",
    ("model",),
    across="max",
)
BATCH_SIZE = Family("r1_batch_size", "gauge", "Requests that have a place.", ("model",))
ARRIVAL_RATE = Family(
    "r1_arrival_rate", "gauge", "Requests a second that come to the model's door.", ("model",)
)
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
CANARY_CHECKS = Family(
    "r1_canary_checks_total",
    "counter",
    "Answers of replicas to the canary, by what they came to.",
    ("model", "upstream", "outcome"),
)
CANARY_DRIFT = Family(
    "r1_canary_drift_nats",
    "gauge",
    "How far a replica's log-probabilities are from the record, or from the other replicas'.",
    ("model", "upstream"),
    across="max",
)
CANARY_EJECTED = Family(
    "r1_canary_ejected",
    "gauge",
    "1 while a replica's numbers are wrong: it is asked for nothing, unless the mode is watch.",
    ("model", "upstream"),
    across="max",
)
RETRY_BUDGET = Family(
    "r1_retry_budget_ratio",
    "gauge",
    "Share of the retry budget that was left at the last retry.",
    ("model",),
    across="latest",
)
LANGUAGE = Family(
    "r1_language_guard_total",
    "counter",
    "Answers that mix languages, by what was done.",
    ("model", "action"),
)
REPETITION = Family(
    "r1_repetition_guard_total",
    "counter",
    "Answers that repeat themselves, by what was done.",
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
    "1 while a worker's last operation on the Redis of keys, or of the cache, failed.",
    ("store",),
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
RELOADS = Family(
    "r1_config_reloads_total",
    "counter",
    "Readings of the configuration while running, by what came of them.",
    ("result",),
)
BEAT = Family(
    "r1_worker_beat_timestamp_seconds",
    "gauge",
    "Unix time at which the worker that was silent longest last said that it works.",
    across="min",
)

FAMILIES = (
    REQUESTS,
    DURATION,
    TTFT,
    TTFC,
    ITL,
    TOKENS,
    INFLIGHT,
    QUEUE_DEPTH,
    QUEUE_WAIT,
    BATCH_WINDOW,
    BATCH_SIZE,
    ARRIVAL_RATE,
    ATTEMPTS,
    CACHE,
    UPSTREAM_UP,
    BREAKER_STATE,
    CANARY_CHECKS,
    CANARY_DRIFT,
    CANARY_EJECTED,
    RETRY_BUDGET,
    LANGUAGE,
    REPETITION,
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
    RELOADS,
    BEAT,
)


SHORT_PROMPT = 2048
"""Tokens of a prompt that is in the first bucket, however few of them were cached."""


def prompt_bucket(tokens: int) -> str:
    """The label of a prompt's length in uncached tokens; of less than one it is `unknown`."""
    if tokens <= 0:
        return "unknown"
    for limit, label in ((SHORT_PROMPT, "2k"), (8192, "8k"), (32768, "32k")):
        if tokens <= limit:
            return label
    return "more"


class Metrics:
    """One method for each thing that happens; each is a few additions in memory.

    `trace`, where there is one, is the recorded trace in which it happened: a time's exemplar.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        meter.reset_gauges(FAMILIES)
        stores: tuple[StoreName, ...] = ("keys", "cache")
        self._degraded = {each: meter.number(STORE_DEGRADED, each) for each in stores}
        self._zeros = Zeros(meter)
        self._zeros.begin(RELOADS, values=RELOAD_RESULTS)

    def beat(self, wall_s: float) -> None:
        """This worker answers to what happens; `wall_s` is Unix time."""
        self._meter.number(BEAT).set(wall_s)

    def begin(self, model: str) -> None:
        """A model can be asked: none of the faults that alerts look for has happened."""
        self._zeros.begin(REQUESTS, "chat", model, values=FAULTY_CODES)
        self._zeros.begin(ENDINGS, model, values=FAULTY_ENDINGS)

    @contextmanager
    def working(self, model: str) -> Iterator[None]:
        """A request for a known model is being worked on."""
        inflight = self._meter.number(INFLIGHT, model)
        inflight.add(1)
        try:
            yield
        finally:
            inflight.add(-1)

    def request_done(
        self, api: str, model: str, status: int, seconds: float, trace: Trace | None = None
    ) -> None:
        """A request was answered (`status` 499: the caller left first)."""
        self._zeros.begin(REQUESTS, api, model, values=FAULTY_CODES)
        self._meter.number(REQUESTS, api, model, str(status)).add()
        self._meter.distribution(DURATION, api, model).observe(seconds, trace=trace)

    def first_token(
        self, model: str, cache: str, uncached: int, seconds: float, trace: Trace | None = None
    ) -> None:
        """The first token of a stream was sent; `uncached` as `prompt_bucket` wants it."""
        bucket = prompt_bucket(uncached)
        self._meter.distribution(TTFT, model, cache, bucket).observe(seconds, trace=trace)

    def first_content(self, model: str, seconds: float, trace: Trace | None = None) -> None:
        """The first token after the reasoning was sent."""
        self._meter.distribution(TTFC, model).observe(seconds, trace=trace)

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
        for family in (BREAKER_STATE, CANARY_DRIFT, CANARY_EJECTED):
            self._meter.number(family, model, upstream).set(UNKNOWN)

    def breaker(self, model: str, upstream: str, state: int) -> None:
        """An upstream's breaker closed (0), half opened (1) or opened (2)."""
        self._meter.number(BREAKER_STATE, model, upstream).set(state)

    def canary_asked(self, model: str, upstream: str, outcome: str) -> None:
        """A replica was asked the canary's prompt: right, wrong, disputed, alone or failed."""
        self._zeros.begin(CANARY_CHECKS, model, upstream, values=CANARY_OUTCOMES)
        self._meter.number(CANARY_CHECKS, model, upstream, outcome).add()

    def canary_stands(
        self, model: str, upstream: str, *, drift: float | None, ejected: bool
    ) -> None:
        """How a replica stands with the canary; `drift` in nats, None if it can't be told."""
        value = UNKNOWN if drift is None else drift
        self._meter.number(CANARY_DRIFT, model, upstream).set(value)
        self._meter.number(CANARY_EJECTED, model, upstream).set(float(ejected))

    def retry_budget(self, model: str, ratio: float) -> None:
        """A retry was granted or refused."""
        self._meter.number(RETRY_BUDGET, model).set(ratio)

    def language_mixed(self, model: str, action: str) -> None:
        """An answer mixes languages; `action` is counted or retried."""
        self._meter.number(LANGUAGE, model, action).add()

    def repeated(self, model: str, action: str) -> None:
        """An answer repeats itself; `action` is stopped, retried or told."""
        self._meter.number(REPETITION, model, action).add()

    def resumed(self, model: str, outcome: str) -> None:
        """A stream lost its model server: it was continued to its end (ok) or not."""
        self._meter.number(RESUMES, model, outcome).add()

    def queueing(self, model: str, priority: str) -> Number:
        """How many requests of a priority wait for a place."""
        return self._meter.number(QUEUE_DEPTH, model, priority)

    def waited(self, model: str, priority: str, seconds: float, trace: Trace | None = None) -> None:
        """A request that waited has its place."""
        self._meter.distribution(QUEUE_WAIT, model, priority).observe(seconds, trace=trace)

    def batch(self, model: str, *, window: float, size: int, rate: float) -> None:
        """How a model's door stands in this worker: `rate` in requests a second."""
        self._meter.number(BATCH_WINDOW, model).set(window)
        self._meter.number(BATCH_SIZE, model).set(size)
        self._meter.number(ARRIVAL_RATE, model).set(rate)

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

    def store_ok(self, store: StoreName) -> None:
        """A store operation succeeded."""
        self._degraded[store].set(0.0)

    def store_failed(self, store: StoreName, operation: str) -> None:
        """A store operation failed."""
        self._degraded[store].set(1.0)
        self._meter.number(STORE_ERRORS, operation).add()

    def tenants(self) -> set[str]:
        """The tenants that have a label of their own by now."""
        return self._meter.known(COST, "tenant") - {OTHER}

    def cost(self, model: str, tenant: str, usd: float) -> None:
        """An answer's cost; `tenant` is a name of the largest ones, or `other`."""
        self._meter.number(COST, model, tenant).add(usd)

    def keys(self, *, expiring: int, near_budget: int) -> None:
        """How many keys will soon stop working."""
        self._meter.number(KEYS_EXPIRING).set(expiring)
        self._meter.number(KEYS_NEAR_BUDGET).set(near_budget)

    def config_reloaded(self, result: str) -> None:
        """The configuration was read again: ok, refused as wrong, or its workers failed."""
        self._meter.number(RELOADS, result).add()
