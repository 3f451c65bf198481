"""Model servers as the gateway sees them: health, attempts, retries, resumed streams."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import (
    GATEWAY_ONE,
    MODEL,
    highest,
    lowest,
    rate,
    recorded,
    share,
    some,
)

_ATTEMPTS = "r1_upstream_attempts_total"
_WRONG = 'outcome=~"unavailable|busy|timeout|failed|lost|unfit"'
_UPSTREAM = "{{model}} {{upstream}}"

_HEALTH = Row(
    "Health",
    (
        Panel(
            "In health, by model",
            "Upstreams that answered the last look.",
            queries=(Query(recorded("r1:replicas_up", MODEL), "{{model}}"),),
            kind="bars",
            height=7,
            steps=colors.AT_LEAST_ONE,
        ),
        Panel(
            "Health of each upstream",
            "Green: the last look found it well. Replicas that registered themselves are numbered; "
            "the log line `replica_found` has a number's address.",
            queries=(
                Query(highest("r1_upstream_up", GATEWAY_ONE, "model", "upstream"), _UPSTREAM),
            ),
            kind="states",
            height=7,
            steps=colors.AT_LEAST_ONE,
            names=((1, "up", "green"), (0, "down", "red")),
        ),
        Panel(
            "Breakers",
            "Green: it is asked. Red: it failed too often and is left alone for a while. Yellow: "
            "one request tries it again.",
            queries=(
                Query(highest("r1_breaker_state", GATEWAY_ONE, "model", "upstream"), _UPSTREAM),
            ),
            kind="states",
            height=7,
            names=((0, "closed", "green"), (1, "half open", "yellow"), (2, "open", "red")),
        ),
    ),
)

_TRIES = Row(
    "Attempts",
    (
        Panel(
            "Attempts by outcome",
            "A second. ok and rejected (the request's own fault) are well, cancelled is a caller "
            "who left; lost is a stream cut in the middle.",
            "reqps",
            (Query(rate(_ATTEMPTS, GATEWAY_ONE, "outcome"), "{{outcome}}"),),
            kind="stack",
        ),
        Panel(
            "Failed attempts, by upstream",
            "Share of attempts that failed by the upstream's fault. One line alone is one sick "
            "replica, all together a fault of the model or of the network.",
            "percentunit",
            (
                Query(
                    share(
                        rate(_ATTEMPTS, GATEWAY_ONE, "model", "upstream", where=_WRONG),
                        rate(_ATTEMPTS, GATEWAY_ONE, "model", "upstream"),
                    ),
                    _UPSTREAM,
                ),
            ),
            steps=colors.FAULTS,
            highest=1,
        ),
        Panel(
            "Attempts, by upstream",
            "A second. Equal replicas get equal shares; one that gets none is left alone.",
            "reqps",
            (Query(rate(_ATTEMPTS, GATEWAY_ONE, "model", "upstream"), _UPSTREAM),),
        ),
    ),
)

_RETRIES = Row(
    "Retries and resumed streams",
    (
        Panel(
            "Retry budget left",
            "Share that was left at the last retry. At 0 faults reach callers at once, so that "
            "retries don't bury a model that is already down.",
            "percentunit",
            (Query(lowest("r1_retry_budget_ratio", GATEWAY_ONE, "model"), "{{model}}"),),
            steps=colors.BUDGET,
            highest=1,
        ),
        Panel(
            "Attempts a request",
            "1 without retries. Cached answers take none.",
            queries=(
                Query(
                    share(
                        rate(_ATTEMPTS, GATEWAY_ONE, "model"),
                        rate("r1_requests_total", GATEWAY_ONE, "model"),
                    ),
                    "{{model}}",
                ),
            ),
            decimals=2,
        ),
        Panel(
            "Streams that lost their model server",
            "A second. ok: went on at another replica to the end; failed: no other could; refused: "
            "going on could not be exact. The latter two ended with an error event.",
            "short",
            (Query(rate("r1_resumes_total", GATEWAY_ONE, "outcome"), "{{outcome}}"),),
            kind="stack",
        ),
    ),
)

_CANARY = Row(
    "Canary",
    (
        Panel(
            "Drift",
            "How far a replica's log-probabilities are from the record, or from the other "
            "replicas', in nats. Near 0 in health; one that rises alone computes wrongly while it "
            "answers with 200: its weights, its GPU or its build.",
            queries=(Query(recorded("r1:canary_drift_nats", MODEL), _UPSTREAM),),
            decimals=3,
        ),
        Panel(
            "Ejected for wrong numbers",
            "Red: the canary found its numbers wrong twice, and it gets no requests. "
            "`r1 canary show` says how each replica stands.",
            queries=(Query(recorded("r1:canary_ejected", MODEL), _UPSTREAM),),
            kind="states",
            steps=colors.NONE_IS_WELL,
            names=((0, "right", "green"), (1, "ejected", "red")),
        ),
        Panel(
            "Answers to the canary",
            "A second. disputed: replicas differ, and no record says which are right; alone: one "
            "replica and no record, nothing can be said; failed: it was not reached.",
            "short",
            (Query(some(rate("r1_canary_checks_total", GATEWAY_ONE, "outcome")), "{{outcome}}"),),
            kind="stack",
        ),
    ),
)

UPSTREAMS = Board(
    "r1-upstreams",
    "r1 / Upstreams and retries",
    "Model servers as the gateway sees them: health, attempts, retries, resumed streams.",
    (_HEALTH, _TRIES, _RETRIES, _CANARY),
)
