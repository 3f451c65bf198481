"""Answers given again, prompts computed once, and the store behind the gateway."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import (
    ENGINE,
    GATEWAY_ONE,
    NODE_ONE,
    highest,
    or_zero,
    quantile,
    rate,
    share,
)

_ASKED = "r1_cache_requests_total"

_ANSWERS = Row(
    "Answers",
    (
        Panel(
            "Answers from the cache",
            "Share of cacheable requests answered without a generation: kept (hit, stale) or "
            "shared with a running one (coalesced). A collapse at constant traffic means other "
            "prompts, an emptied store or a changed model.",
            "percentunit",
            (
                Query(
                    share(
                        rate(_ASKED, GATEWAY_ONE, "model", where='result=~"hit|coalesced|stale"'),
                        rate(_ASKED, GATEWAY_ONE, "model", where='result!="bypass"'),
                    ),
                    "{{model}}",
                ),
            ),
            highest=1,
        ),
        Panel(
            "Requests by what the cache had",
            "A second. bypass: sampled, or the caller asked for none; only deterministic requests "
            "are kept by default.",
            "reqps",
            (Query(rate(_ASKED, GATEWAY_ONE, "result"), "{{result}}"),),
            kind="stack",
        ),
        Panel(
            "First token by what the cache had, p95",
            "What the cache saves a caller. Hits above 50 ms: the store is slow.",
            "s",
            (
                Query(
                    quantile(0.95, "r1_time_to_first_token_seconds", GATEWAY_ONE, "cache"),
                    "{{cache}}",
                ),
            ),
        ),
    ),
)

_PROMPTS = Row(
    "Prompts in the engine",
    (
        Panel(
            "Prompt tokens found in the prefix cache",
            "Share of prompt tokens that the engine did not compute again, by model. Engines "
            "without a prefix cache stay at 0.",
            "percentunit",
            (
                Query(
                    share(
                        rate("vllm:prompt_tokens_cached_total", ENGINE, "model_name"),
                        rate("vllm:prompt_tokens_total", ENGINE, "model_name"),
                    ),
                    "{{model_name}}",
                ),
            ),
            highest=1,
            board="r1-engine",
        ),
        Panel(
            "Prompt tokens, as callers are told",
            "A second: all, and those that were cached.",
            "short",
            (
                Query(
                    rate("r1_tokens_total", GATEWAY_ONE, "kind", where='kind=~"prompt|cached"'),
                    "{{kind}}",
                ),
            ),
        ),
    ),
)

_STORE = Row(
    "Store",
    (
        Panel(
            "Store degraded",
            "Red while a gateway's last operation on its Redis failed: `keys` has keys, limits and "
            "budgets, `cache` the answers.",
            queries=(Query(highest("r1_store_degraded", NODE_ONE, "store"), "{{store}}"),),
            kind="states",
            width=12,
            height=6,
            steps=colors.NONE_IS_WELL,
            names=((0, "well", "green"), (1, "degraded", "red")),
        ),
        Panel(
            "Store operations that failed",
            "A second, all operations together; the label `operation` has which.",
            "ops",
            (Query(or_zero(rate("r1_store_errors_total", NODE_ONE)), "failed"),),
            width=12,
            height=6,
        ),
    ),
)

CACHE = Board(
    "r1-cache",
    "r1 / Cache",
    "Answers given again, prompts computed once, and the store behind the gateway.",
    (_ANSWERS, _PROMPTS, _STORE),
)
