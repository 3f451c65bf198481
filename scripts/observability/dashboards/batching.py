"""Who gets a place at a replica, and how long the others wait."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import (
    GATEWAY_ONE,
    MODEL,
    highest,
    quantile,
    rate,
    total,
)

_WAIT = "r1_queue_wait_seconds"

_NOW = Row(
    "Now",
    (
        Panel(
            "Batch window",
            "Requests that one replica may decode at once, on average over a model's replicas.",
            queries=(Query(highest("r1_batch_window", GATEWAY_ONE, "model"), "{{model}}"),),
            kind="bars",
            height=6,
            steps=colors.PLAIN,
            decimals=0,
        ),
        Panel(
            "Arrivals",
            "Requests a second that come to a model's door. Blue below 10, where the window begins "
            "with 4; yellow above 100, where it begins with 32.",
            "reqps",
            (Query(total("r1_arrival_rate", GATEWAY_ONE, "model"), "{{model}}"),),
            kind="bars",
            height=6,
            steps=colors.LOAD,
            decimals=1,
        ),
        Panel(
            "Waiting",
            "Requests without a place, by model.",
            queries=(Query(total("r1_queue_depth", GATEWAY_ONE, "model"), "{{model}}"),),
            kind="bars",
            height=6,
            steps=colors.SOME_IS_WORTH_A_LOOK,
        ),
    ),
)

_WINDOW = Row(
    "Window",
    (
        Panel(
            "Batch window",
            "It grows while tokens come in time and shrinks when users see gaps. A window at its "
            "smallest with a queue behind it: replicas are too slow or too few.",
            queries=(Query(highest("r1_batch_window", GATEWAY_ONE, "model"), "{{model}}"),),
        ),
        Panel(
            "Places taken",
            "Requests that have a place, of all replicas together.",
            queries=(Query(total("r1_batch_size", GATEWAY_ONE, "model"), "{{model}}"),),
        ),
        Panel(
            "In the engines",
            "What the engines decode and what they keep waiting themselves. Waiting in the engine "
            "means that the window is larger than the engine's own limit, or others ask it too.",
            queries=(
                Query(
                    total("r1:engine_running", MODEL, "model"),
                    "{{model}} decoding",
                ),
                Query(
                    total("r1:engine_waiting", MODEL, "model"),
                    "{{model}} waiting",
                ),
            ),
            board="r1-engine",
        ),
    ),
)

_QUEUE = Row(
    "Queue",
    (
        Panel(
            "Waiting, by class",
            "Requests without a place. Growing for minutes: add replicas or limit the largest "
            "callers.",
            queries=(Query(total("r1_queue_depth", GATEWAY_ONE, "class"), "{{class}}"),),
            kind="stack",
        ),
        Panel(
            "Time waited",
            "Of those that had to wait.",
            "s",
            tuple(
                Query(quantile(each / 100, _WAIT, GATEWAY_ONE), f"p{each}") for each in (50, 95, 99)
            ),
        ),
        Panel(
            "Requests that had to wait",
            "A second, by class; those who found a free place are not in it.",
            "reqps",
            (Query(rate(f"{_WAIT}_count", GATEWAY_ONE, "class"), "{{class}}"),),
        ),
        Panel(
            "Turned away",
            "Requests a second that the door refused: queue_full at once, queue_wait after the "
            "longest wait, queue_deadline because it would have been in vain.",
            "reqps",
            (
                Query(
                    rate("r1_rejections_total", GATEWAY_ONE, "reason", where='reason=~"queue_.*"'),
                    "{{reason}}",
                ),
            ),
            kind="stack",
        ),
        Panel(
            "Arrivals",
            "Requests a second that come to a model's door.",
            "reqps",
            (Query(total("r1_arrival_rate", GATEWAY_ONE, "model"), "{{model}}"),),
        ),
        Panel(
            "In flight",
            "Requests being worked on, waiting ones included.",
            queries=(Query(total("r1_inflight_requests", GATEWAY_ONE, "model"), "{{model}}"),),
        ),
    ),
)

BATCHING = Board(
    "r1-batching",
    "r1 / Batching and admission",
    "Who gets a place at a replica, and how long the others wait.",
    (_NOW, _WINDOW, _QUEUE),
)
