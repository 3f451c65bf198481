"""What answers cost, whom, and which keys are near their end."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import (
    GATEWAY_ONE,
    NODE_ONE,
    growth,
    highest,
    rate,
    share,
)

_COST, _TOKENS = "r1_cost_usd_total", "r1_tokens_total"
_COMPLETION, _REASONING = 'kind="completion"', 'kind="reasoning"'
_ANSWERED = 'code="200"'

_MONEY = Row(
    "Cost",
    (
        Panel(
            "Cost in the time shown",
            "USD by the configured prices (gateway.yaml, models.prices); models without prices "
            "cost nothing here.",
            "currencyUSD",
            (Query(growth(_COST, GATEWAY_ONE)),),
            kind="stat",
            width=6,
            height=6,
            steps=colors.PLAIN,
        ),
        Panel(
            "Cost of a million tokens",
            "What a million completion tokens cost callers, prompts included.",
            "currencyUSD",
            (
                Query(
                    f"1e6 * {growth(_COST, GATEWAY_ONE)}"
                    f" / {growth(_TOKENS, GATEWAY_ONE, where=_COMPLETION)}"
                ),
            ),
            kind="stat",
            width=6,
            height=6,
            steps=colors.PLAIN,
            decimals=2,
        ),
        Panel(
            "Keys near a budget",
            "Keys that have spent most of a budget (limits.near_budget_ratio, 80 % by default). "
            "`r1 usage` names them.",
            queries=(Query(highest("r1_keys_near_budget", NODE_ONE)),),
            kind="stat",
            width=6,
            height=6,
            steps=colors.SOME_IS_WORTH_A_LOOK,
        ),
        Panel(
            "Keys that expire soon",
            "Within limits.expiring_days, seven by default. `r1 keys list` names them.",
            queries=(Query(highest("r1_keys_expiring", NODE_ONE)),),
            kind="stat",
            width=6,
            height=6,
            steps=colors.SOME_IS_WORTH_A_LOOK,
        ),
        Panel(
            "Cost an hour, by model",
            "At the present rate.",
            "currencyUSD",
            (Query(f"3600 * {rate(_COST, GATEWAY_ONE, 'model')}", "{{model}}"),),
            kind="stack",
            width=12,
        ),
        Panel(
            "Cost an hour, by tenant",
            "The ten largest at the present rate. A tenant that rises alone: a loop in its "
            "program, or a stolen key.",
            "currencyUSD",
            (Query(f"topk(10, 3600 * {rate(_COST, GATEWAY_ONE, 'tenant')})", "{{tenant}}"),),
            width=12,
            board="r1-requests",
        ),
    ),
)

_USAGE = Row(
    "Usage",
    (
        Panel(
            "Tokens in the time shown",
            "By model and kind. Reasoning is part of completion, cached is part of prompt.",
            "short",
            (Query(growth(_TOKENS, GATEWAY_ONE, "model", "kind"), "{{model}} {{kind}}"),),
            kind="bars",
        ),
        Panel(
            "Reasoning, of the completion",
            "Share of generated tokens that are reasoning. A rise makes answers dearer and later "
            "without making them longer.",
            "percentunit",
            (
                Query(
                    share(
                        rate(_TOKENS, GATEWAY_ONE, "model", where=_REASONING),
                        rate(_TOKENS, GATEWAY_ONE, "model", where=_COMPLETION),
                    ),
                    "{{model}}",
                ),
            ),
            highest=1,
        ),
        Panel(
            "Tokens of an answer",
            "Mean completion tokens of a request. Twice as long answers need twice the replicas.",
            "short",
            (
                Query(
                    share(
                        rate(_TOKENS, GATEWAY_ONE, "model", where=_COMPLETION),
                        rate("r1_requests_total", GATEWAY_ONE, "model", where=_ANSWERED),
                    ),
                    "{{model}}",
                ),
            ),
        ),
    ),
)

COST = Board(
    "r1-cost",
    "r1 / Cost and usage",
    "What answers cost, whom, and which keys are near their end.",
    (_MONEY, _USAGE),
)
