"""What callers ask, how it ends, and whose it is."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import (
    GATEWAY_ONE,
    NODE_ONE,
    growth,
    highest,
    or_zero,
    quantile,
    rate,
    share,
    some,
    total,
)

_REQUESTS = Row(
    "Requests",
    (
        Panel(
            "Requests by status",
            "Answers a second by HTTP status. 499: the caller left first. 4xx are callers' "
            "mistakes or limits, 429 and 503 say when to come again, 5xx are ours.",
            "reqps",
            (Query(some(rate("r1_requests_total", GATEWAY_ONE, "code")), "{{code}}"),),
            kind="stack",
        ),
        Panel(
            "Requests by API",
            "Answers a second by the API that was called.",
            "reqps",
            (Query(rate("r1_requests_total", GATEWAY_ONE, "api"), "{{api}}"),),
            kind="stack",
        ),
        Panel(
            "Share of 5xx, by model",
            "Above 1 % users notice; see Upstreams for the model server behind it.",
            "percentunit",
            (
                Query(
                    share(
                        rate("r1_requests_total", GATEWAY_ONE, "model", where='code=~"5.."'),
                        rate("r1_requests_total", GATEWAY_ONE, "model"),
                    ),
                    "{{model}}",
                ),
            ),
            steps=colors.FAULTS,
            board="r1-upstreams",
        ),
        Panel(
            "Whole answers",
            "From a request's arrival to the end of its answer. Minutes are normal where a model "
            "reasons; a step upwards at constant tokens a request means slower decoding.",
            "s",
            (
                Query(quantile(0.5, "r1_request_duration_seconds", GATEWAY_ONE), "p50"),
                Query(quantile(0.95, "r1_request_duration_seconds", GATEWAY_ONE), "p95"),
                Query(quantile(0.99, "r1_request_duration_seconds", GATEWAY_ONE), "p99"),
            ),
        ),
        Panel(
            "Refused, by reason",
            "Requests a second that reached no model server. queue_full, queue_wait and overloaded "
            "mean too few replicas; rate_limit_exceeded and insufficient_quota are keys' limits.",
            "reqps",
            (Query(rate("r1_rejections_total", GATEWAY_ONE, "reason"), "{{reason}}"),),
            kind="stack",
            board="r1-batching",
        ),
        Panel(
            "Refused keys, by reason",
            "Calls a second with a key that is not taken. `store`: the key could not be looked up.",
            "reqps",
            (Query(rate("r1_auth_failures_total", NODE_ONE, "reason"), "{{reason}}"),),
            kind="stack",
        ),
    ),
)

_STREAMS = Row(
    "Streams",
    (
        Panel(
            "How streams end",
            "Streams a second by ending: done is whole, disconnect is a caller who left, all "
            "others are errors that the caller was told in the stream.",
            "short",
            (Query(some(rate("r1_stream_endings_total", GATEWAY_ONE, "reason")), "{{reason}}"),),
            kind="stack",
        ),
        Panel(
            "Callers who left",
            "A second, by model. Many at once: answers have become too slow, see Latency.",
            "short",
            (Query(rate("r1_disconnects_total", GATEWAY_ONE, "model"), "{{model}}"),),
            board="r1-latency",
        ),
        Panel(
            "Guards",
            "Answers a second that repeat themselves or mix languages, by what was done. A rise "
            "after a change of weights, sampling or quantisation is a worse model.",
            "short",
            (
                Query(
                    rate("r1_repetition_guard_total", GATEWAY_ONE, "action"),
                    "repetition: {{action}}",
                ),
                Query(
                    rate("r1_language_guard_total", GATEWAY_ONE, "action"), "language: {{action}}"
                ),
            ),
        ),
    ),
)

_TENANTS = Row(
    "Tokens and tenants",
    (
        Panel(
            "Tokens by kind",
            "A second. Reasoning is part of completion, cached is part of prompt.",
            "short",
            (Query(rate("r1_tokens_total", GATEWAY_ONE, "kind"), "{{kind}}"),),
            width=6,
        ),
        Panel(
            "Tenants, by cost",
            "The ten that cost most in the time shown, in USD by the configured prices. Tenants "
            "beyond the fifty largest are `other`.",
            "currencyUSD",
            (
                Query(
                    f"topk(10, {growth('r1_cost_usd_total', GATEWAY_ONE, 'tenant')})", "{{tenant}}"
                ),
            ),
            kind="bars",
            width=6,
            steps=colors.PLAIN,
            board="r1-cost",
        ),
        Panel(
            "Configuration read again",
            "How often in the time shown. refused: it was wrong and the old one stays; failed: "
            "workers could not start with it.",
            queries=(
                Query(
                    or_zero(growth("r1_config_reloads_total", NODE_ONE, where='result="ok"')), "ok"
                ),
                Query(
                    or_zero(growth("r1_config_reloads_total", NODE_ONE, where='result!="ok"')),
                    "refused or failed",
                ),
            ),
            kind="stat",
            width=4,
            decimals=0,
            steps=colors.PLAIN,
        ),
        Panel(
            "In flight",
            "Requests being worked on, waiting ones included.",
            queries=(Query(total("r1_inflight_requests", GATEWAY_ONE)),),
            kind="stat",
            width=4,
            steps=colors.PLAIN,
        ),
        Panel(
            "Silent worker",
            "Seconds since the worker that is silent longest last said that it works. Each does "
            "every second; the callers of one that stands still wait.",
            "s",
            (Query(highest("r1:worker_silence_seconds", NODE_ONE)),),
            kind="stat",
            width=4,
            decimals=0,
            steps=colors.SILENCE,
        ),
    ),
)

REQUESTS = Board(
    "r1-requests",
    "r1 / Requests and tenants",
    "What callers ask, how it ends, and whose it is.",
    (_REQUESTS, _STREAMS, _TENANTS),
)
