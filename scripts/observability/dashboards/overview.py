"""The first page: is it well, and if not, which page next."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import (
    GATEWAY,
    HERE,
    MODEL,
    SHORT,
    average,
    highest,
    or_zero,
    picked,
    quantile,
    rate,
    share,
    total,
)

_BAD_CODES = 'code=~"5.."'
_BAD_ENDINGS = 'reason!~"done|disconnect"'

_CRITICAL, _OTHER = 'severity="critical"', 'severity!="critical"'


def _firing(where: str = "") -> str:
    # Some alerts are about no namespace.
    scope = 'alertname=~"R1.*",alertstate="firing",namespace=~"$namespace|"'
    return picked("ALERTS", scope, where)


_FIGURES = Row(
    "The four figures",
    (
        Panel(
            "First token, p95",
            "Time to the first token of prompts with at most 2,048 uncached tokens. Normal below "
            "500 ms, alert above 1 s. Longer prompts take longer in health and are not in it.",
            "s",
            (Query(quantile(0.95, "r1_time_to_first_token_seconds", GATEWAY, where=SHORT)),),
            kind="stat",
            width=6,
            steps=colors.LATENCY,
            board="r1-latency",
        ),
        Panel(
            "Memory used",
            "Host: the fullest node's memory, or its container's limit. KV cache: the fullest "
            "replica's. Normal below 75 %, alert above 85 %. GPU memory itself is not shown here: "
            "vLLM reserves nearly all of it in health.",
            "percentunit",
            (
                Query(highest("r1:memory_used_ratio", HERE), "host"),
                Query(highest("r1:kv_cache_used_ratio", MODEL), "KV cache"),
            ),
            kind="stat",
            width=6,
            steps=colors.MEMORY,
            highest=1,
            board="r1-gpus",
        ),
        Panel(
            "GPU utilisation",
            "Mean share of time in which GPUs computed. Normal 60 to 90 %, alert below 30 % while "
            "requests run, and above 95 % only together with a queue or slow first tokens: "
            "decoding keeps GPUs busy in health.",
            "percentunit",
            (Query(average("r1:gpu_utilization_ratio", HERE)),),
            kind="stat",
            width=6,
            steps=colors.GPU,
            highest=1,
            board="r1-gpus",
        ),
        Panel(
            "Load and batch window",
            "Requests a second at the doors of all models: blue below 10, yellow above 100. Beside "
            "it how many requests one replica may decode at once, and how many the plain rule "
            "gives (4 at blue, 32 at yellow), from which the window begins.",
            "short",
            (
                Query(total("r1_arrival_rate", GATEWAY), "requests/s"),
                Query(average("r1:batch_window", MODEL), "window"),
                Query(average("r1:batch_window_start", MODEL), "plain rule"),
            ),
            kind="stat",
            width=6,
            steps=colors.LOAD,
            plain=("window", "plain rule"),
            decimals=1,
            board="r1-batching",
        ),
    ),
)

_WELL = Row(
    "Is it well?",
    (
        Panel(
            "Critical alerts",
            "Users are hurt now: the table below has what fires, its runbook what to do.",
            queries=(Query(or_zero(f"count({_firing(_CRITICAL)})")),),
            kind="stat",
            width=3,
            height=5,
            steps=colors.NONE_IS_WELL,
        ),
        Panel(
            "Other alerts",
            "Warnings and remarks: users will be hurt if nobody looks.",
            queries=(Query(or_zero(f"count({_firing(_OTHER)})")),),
            kind="stat",
            width=3,
            height=5,
            steps=colors.SOME_IS_WORTH_A_LOOK,
        ),
        Panel(
            "Failed requests",
            "Share of requests answered with 5xx. Callers' own mistakes (4xx) are not in it.",
            "percentunit",
            (
                Query(
                    share(
                        rate("r1_requests_total", GATEWAY, where=_BAD_CODES),
                        rate("r1_requests_total", GATEWAY),
                    )
                ),
            ),
            kind="stat",
            width=4,
            height=5,
            steps=colors.FAULTS,
            board="r1-requests",
        ),
        Panel(
            "Streams that end badly",
            "Share of streams that ended neither whole nor because the caller left.",
            "percentunit",
            (
                Query(
                    share(
                        rate("r1_stream_endings_total", GATEWAY, where=_BAD_ENDINGS),
                        rate("r1_stream_endings_total", GATEWAY),
                    )
                ),
            ),
            kind="stat",
            width=4,
            height=5,
            steps=colors.FAULTS,
            board="r1-requests",
        ),
        Panel(
            "Waiting",
            "Requests that wait for a place at a replica. A short queue is how batching works; "
            "one that only grows is a lack of replicas.",
            queries=(Query(total("r1_queue_depth", GATEWAY)),),
            kind="stat",
            width=4,
            height=5,
            steps=colors.PLAIN,
            board="r1-batching",
        ),
        Panel(
            "Replicas in health",
            "Replicas that answered a gateway's last look, of all models together.",
            queries=(Query(total("r1:replicas_up", MODEL)),),
            kind="stat",
            width=3,
            height=5,
            steps=colors.AT_LEAST_ONE,
            board="r1-upstreams",
        ),
        Panel(
            "Store",
            "Whether a gateway's last operation on its Redis failed. Without it new keys are "
            "refused, limits and budgets are not checked and nothing is cached.",
            queries=(Query(highest("r1_store_degraded", HERE)),),
            kind="stat",
            width=3,
            height=5,
            steps=colors.NONE_IS_WELL,
            names=((0, "well", "green"), (1, "degraded", "red")),
            board="r1-cache",
        ),
    ),
)

_MODELS = Row(
    "Models",
    (
        Panel(
            "Requests",
            "Requests answered a second, by model. A sudden zero is an outage before the gateway.",
            "reqps",
            (Query(rate("r1_requests_total", GATEWAY, "model"), "{{model}}"),),
            board="r1-requests",
        ),
        Panel(
            "First token, p95",
            "Of prompts with at most 2,048 uncached tokens, by model.",
            "s",
            (
                Query(
                    quantile(0.95, "r1_time_to_first_token_seconds", GATEWAY, "model", where=SHORT),
                    "{{model}}",
                ),
            ),
            steps=colors.LATENCY,
            board="r1-latency",
        ),
        Panel(
            "Between tokens, p95",
            "Time between two tokens of a stream, which is what a reader feels.",
            "s",
            (
                Query(
                    quantile(0.95, "r1_inter_token_latency_seconds", GATEWAY, "model"), "{{model}}"
                ),
            ),
            board="r1-latency",
        ),
        Panel(
            "Tokens generated",
            "Completion tokens a second, reasoning included.",
            "short",
            (
                Query(
                    rate("r1_tokens_total", GATEWAY, "model", where='kind="completion"'),
                    "{{model}}",
                ),
            ),
            board="r1-engine",
        ),
        Panel(
            "In flight",
            "Requests being worked on, waiting ones included.",
            queries=(Query(total("r1_inflight_requests", GATEWAY, "model"), "{{model}}"),),
            board="r1-batching",
        ),
        Panel(
            "Answers from the cache",
            "Share of cacheable requests that needed no generation.",
            "percentunit",
            (
                Query(
                    share(
                        rate(
                            "r1_cache_requests_total",
                            GATEWAY,
                            "model",
                            where='result=~"hit|coalesced|stale"',
                        ),
                        rate("r1_cache_requests_total", GATEWAY, "model", where='result!="bypass"'),
                    ),
                    "{{model}}",
                ),
            ),
            highest=1,
            board="r1-cache",
        ),
    ),
)

_ALERTS = Row(
    "What fires",
    (
        Panel(
            "Firing alerts",
            "Each has a runbook: docs/runbooks/<alertname>.md.",
            queries=(Query(_firing()),),
            kind="table",
            width=24,
            height=7,
        ),
    ),
)

OVERVIEW = Board(
    "r1-overview",
    "r1 / Overview",
    "Is r1 well, and if not, which page has the cause. Each picture has a link to its details.",
    (_FIGURES, _WELL, _ALERTS, _MODELS),
)
