"""Where time goes: to the first token, between tokens, in the queue."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import (
    GATEWAY_ONE,
    GENERATED,
    MODEL,
    SHORT,
    highest,
    quantile,
    rate,
    share,
)

_TTFT, _ITL = "r1_time_to_first_token_seconds", "r1_inter_token_latency_seconds"
_WAIT = "r1_queue_wait_seconds"


def _percentiles(metric: str, where: str = "") -> tuple[Query, ...]:
    return tuple(
        Query(quantile(each / 100, metric, GATEWAY_ONE, where=where), f"p{each}")
        for each in (50, 95, 99)
    )


def _slowest(series: str) -> str:
    return highest(series, MODEL, where='quantile="0.95"')


def _heat(title: str, about: str, metric: str, where: str = "") -> Panel:
    expr = rate(f"{metric}_bucket", GATEWAY_ONE, "le", where=where)
    return Panel(title, about, "s", (Query(expr, "{{le}}"),), kind="heatmap", height=9)


_FIRST = Row(
    "First token",
    (
        Panel(
            "First token, prompts up to 2k",
            "Generations with at most 2,048 uncached prompt tokens: the ones that the threshold is "
            "for. Normal below 500 ms, alert above 1 s at p95.",
            "s",
            _percentiles(_TTFT, SHORT),
            steps=colors.LATENCY,
        ),
        Panel(
            "First token by prompt length, p95",
            "Uncached prompt tokens: up to 2k, 8k, 32k, or more. Prefill grows with them; all "
            "rising together is a queue or a busy engine, only the long ones is prefill.",
            "s",
            (
                Query(
                    quantile(0.95, _TTFT, GATEWAY_ONE, "prompt_bucket", where=GENERATED),
                    "{{prompt_bucket}}",
                ),
            ),
        ),
        Panel(
            "Within the limits",
            "Share of short prompts' first tokens within 500 ms and within 1 s.",
            "percentunit",
            tuple(
                Query(
                    share(
                        rate(f"{_TTFT}_bucket", GATEWAY_ONE, where=f'{SHORT},le="{limit}"'),
                        rate(f"{_TTFT}_count", GATEWAY_ONE, where=SHORT),
                    ),
                    name,
                )
                for limit, name in (("0.5", "500 ms"), ("1.0", "1 s"))
            ),
            highest=1,
        ),
        Panel(
            "First token by model, p95",
            "Short prompts. One model alone: its replicas; all: the gateway, its store or the "
            "network.",
            "s",
            (Query(quantile(0.95, _TTFT, GATEWAY_ONE, "model", where=SHORT), "{{model}}"),),
            steps=colors.LATENCY,
        ),
        Panel(
            "Gateway against engine, p95",
            "First tokens as callers see them and as the slowest engine counts them. The distance "
            "is the gateway's queue and the network.",
            "s",
            (
                Query(quantile(0.95, _TTFT, GATEWAY_ONE, where=GENERATED), "callers"),
                Query(_slowest("r1:engine_ttft_seconds"), "engine"),
                Query(_slowest("r1:engine_queue_seconds"), "engine's queue"),
                Query(_slowest("r1:engine_prefill_seconds"), "prefill"),
            ),
            board="r1-engine",
        ),
        Panel(
            "First token after the reasoning",
            "When a reader of the answer alone sees something. It grows with the length of the "
            "reasoning.",
            "s",
            _percentiles("r1_time_to_first_content_seconds"),
        ),
    ),
)

_TOKENS = Row(
    "Between tokens",
    (
        Panel(
            "Between tokens",
            "All models. It rises with the batch: the window follows it (Batching).",
            "s",
            _percentiles(_ITL),
            board="r1-batching",
        ),
        Panel(
            "Between tokens by model, p95",
            "A model whose tokens come slower than its plan's figure decodes too large a batch or "
            "is throttled.",
            "s",
            (Query(quantile(0.95, _ITL, GATEWAY_ONE, "model"), "{{model}}"),),
            board="r1-engine",
        ),
        Panel(
            "Waiting for a place, p95",
            "Of those that had to wait, by class.",
            "s",
            (Query(quantile(0.95, _WAIT, GATEWAY_ONE, "class"), "{{class}}"),),
            board="r1-batching",
        ),
    ),
)

_HEAT = Row(
    "Distributions",
    (
        _heat(
            "First token, prompts up to 2k",
            "How many first tokens a second took how long. Two bands are two kinds of requests, "
            "or one replica that is slower than the others.",
            _TTFT,
            SHORT,
        ),
        _heat(
            "Between tokens",
            "How many gaps a second were how long. A faint band far above the rest is preemption "
            "or prefills between decode steps.",
            _ITL,
        ),
        _heat(
            "Waiting for a place",
            "How long requests waited, of those that had to.",
            _WAIT,
        ),
    ),
)

LATENCY = Board(
    "r1-latency",
    "r1 / Latency",
    "Where time goes: to the first token, between tokens, in the queue.",
    (_FIRST, _TOKENS, _HEAT),
)
