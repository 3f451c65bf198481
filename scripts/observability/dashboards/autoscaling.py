"""How many replicas there are and should be, and how long a new one takes."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import (
    GATEWAY,
    MODEL,
    SERVE,
    growth,
    highest,
    rate,
    recorded,
    total,
)

_BY_APP = "{{application}}"

_REPLICAS = Row(
    "Replicas",
    (
        Panel(
            "Replicas in health",
            "As Ray Serve sees them. None: the model is asleep or down.",
            queries=(Query(recorded("r1:replicas_running", MODEL), "{{model}}"),),
            kind="bars",
            height=6,
            steps=colors.AT_LEAST_ONE,
        ),
        Panel(
            "Replicas wanted",
            "What Ray Serve's autoscaler aims at.",
            queries=(Query(recorded("r1:replicas_target", MODEL), "{{model}}"),),
            kind="bars",
            height=6,
            steps=colors.PLAIN,
        ),
        Panel(
            "Replicas started",
            "In the time shown. More than the autoscaler asked for: replicas die, see their logs.",
            queries=(
                Query(
                    growth("ray_serve_deployment_replica_starts_total", SERVE, "application"),
                    _BY_APP,
                ),
            ),
            kind="bars",
            height=6,
            steps=colors.PLAIN,
            decimals=0,
        ),
        Panel(
            "Wanted and there",
            "A lasting gap: new replicas find no node or don't start; see Cold start below and the "
            "pods' events.",
            queries=(
                Query(recorded("r1:replicas_target", MODEL), "{{model}} wanted"),
                Query(recorded("r1:replicas_running", MODEL), "{{model}} healthy"),
            ),
            width=12,
        ),
        Panel(
            "In the gateways' hands",
            "Replicas that answered the gateways' last look. Fewer than Serve has: the registry or "
            "the network between.",
            queries=(Query(recorded("r1:replicas_up", MODEL), "{{model}}"),),
            width=12,
            board="r1-upstreams",
        ),
    ),
)

_LOAD = Row(
    "What drives it",
    (
        Panel(
            "Requests that want a replica",
            "Running and waiting, by model: what the autoscaler looks at.",
            queries=(Query(total("r1_inflight_requests", GATEWAY, "model"), "{{model}}"),),
            board="r1-batching",
        ),
        Panel(
            "Arrivals",
            "Requests a second that come to a model's door.",
            "reqps",
            (Query(total("r1_arrival_rate", GATEWAY, "model"), "{{model}}"),),
        ),
        Panel(
            "Waiting",
            "Requests without a place. If it grows while Wanted stays: the autoscaler is at its "
            "maximum.",
            queries=(Query(total("r1_queue_depth", GATEWAY, "model"), "{{model}}"),),
            board="r1-batching",
        ),
    ),
)

_START = Row(
    "Cold start",
    (
        Panel(
            "Latest start, by phase",
            "Seconds that each phase of a model's latest start took. fetch and load: the weights' "
            "way; compile and warm_up: the engine; process: the pod and its imports.",
            "s",
            (
                Query(
                    highest("r1_cold_start_seconds", MODEL, "model", "phase"), "{{model}} {{phase}}"
                ),
            ),
            kind="bars",
            width=12,
            height=11,
            steps=colors.PLAIN,
            decimals=1,
        ),
        Panel(
            "Latest start, in all",
            "All phases together, by node. The figure to compare a scale-up's delay with.",
            "s",
            (
                Query(
                    recorded("r1:cold_start_seconds", MODEL),
                    "{{model}} {{instance}}",
                ),
            ),
            width=12,
            height=11,
        ),
        Panel(
            "Health checks of replicas",
            "A second, by Ray Serve. They stop when its controller is stuck.",
            "ops",
            (
                Query(
                    rate("ray_serve_health_check_latency_ms_count", SERVE, "application"), _BY_APP
                ),
            ),
            width=12,
        ),
        Panel(
            "Applications",
            "Ray Serve's view of each model. Green is running.",
            queries=(
                Query(highest("ray_serve_application_status", SERVE, "application"), _BY_APP),
            ),
            kind="states",
            width=12,
            names=(
                (0, "unknown", "gray"),
                (1, "failed to deploy", "red"),
                (2, "unhealthy", "red"),
                (3, "not started", "yellow"),
                (4, "deleting", "yellow"),
                (5, "deploying", "yellow"),
                (6, "running", "green"),
            ),
        ),
    ),
)

AUTOSCALING = Board(
    "r1-autoscaling",
    "r1 / Autoscaling and cold start",
    "How many replicas there are and should be, and how long a new one takes.",
    (_REPLICAS, _LOAD, _START),
)
