"""How many replicas a model gets, and how each of them ends: Ray Serve's deployment options.

Ray Serve LLM's own defaults leave autoscaling inert (a target of a thousand million requests, one
replica at most, an unbounded queue) and cut streams 20 seconds after an upgrade begins. So every
one of these options is always set here, from what the deployment says.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from serving.engine.autoscale import POLICY

# A replica tells the load balancers it is leaving, and then closes its sockets.
SHUTDOWN_MARGIN_S = 30.0
# A replica that leaves takes requests for so long: gateways read the registry once a second.
DEREGISTRATION_S = 3.0
# Three failures in a row make a replica unhealthy.
HEALTH_CHECK_PERIOD_S = 2.0
# A busy engine answers a health check late; a dead one fails it at once.
HEALTH_CHECK_TIMEOUT_S = 30.0
# Requests that a replica holds for each sequence that its engine runs: the rest wait in the
# engine's queue. Above it the replica refuses, so that the gateway's queue is the one that grows.
HELD_FOR_EACH_SEQUENCE = 2
# How often replicas report their load. Ray Serve's own 10 s would be most of an upscale delay; its
# variable for it (RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S) is not read yet.
REPORT_S = 2.0


class Autoscaling(BaseModel):
    """Bounds and pace of a model's autoscaling."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: PositiveInt
    target_ongoing_requests: PositiveFloat | None = None
    """Requests in flight a replica that the autoscaler aims at: the batch that a plan found to
    keep its targets. Without it the share of what the engine can run that `elastic.py` names."""
    upscale_delay_s: NonNegativeFloat = 10.0
    """So long must more replicas be wanted."""
    downscale_delay_s: NonNegativeFloat = 600.0
    """So long must fewer replicas be wanted."""
    downscale_to_zero_delay_s: NonNegativeFloat | None = None
    """The same for the last replica, if it is to be another time."""
    look_back_s: Annotated[float, Field(gt=REPORT_S)] = 30.0
    """Load is averaged over this time."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas ({self.min_replicas}) is above max_replicas ({self.max_replicas})"
            )
        return self

    def aiming_at(self, target: float) -> Self:
        """The same, with this target where it has none."""
        if self.target_ongoing_requests is not None:
            return self
        return self.model_copy(update={"target_ongoing_requests": target})


def deployment_options(
    *,
    replicas: int | None,
    autoscaling: Autoscaling | None,
    longest_answer_s: float,
    max_num_seqs: int,
    surge_percent: int = 0,
) -> dict[str, Any]:
    """Return the deployment options of a model's replicas.

    Args:
        replicas: a fixed number, or None with `autoscaling`.
        autoscaling: bounds with a target, or None with `replicas`.
        longest_answer_s: seconds that the longest answer may take; a replica that is asked to
            leave gets that long to finish what it is writing.
        max_num_seqs: sequences that one engine runs together.
        surge_percent: replicas that an upgrade may start before it stops others, in percent of
            all; with 0 it stops some first, and with one replica requests wait for the new one.
    """
    options: dict[str, Any] = {
        "max_ongoing_requests": HELD_FOR_EACH_SEQUENCE * max_num_seqs,
        "graceful_shutdown_timeout_s": longest_answer_s + SHUTDOWN_MARGIN_S,
        "graceful_shutdown_wait_loop_s": 1.0,
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        "max_surge_percent": surge_percent,
    }
    if autoscaling is not None:
        options["autoscaling_config"] = {
            "min_replicas": autoscaling.min_replicas,
            "max_replicas": autoscaling.max_replicas,
            "initial_replicas": max(1, autoscaling.min_replicas),
            "target_ongoing_requests": autoscaling.target_ongoing_requests,
            "upscale_delay_s": autoscaling.upscale_delay_s,
            "downscale_delay_s": autoscaling.downscale_delay_s,
            "downscale_to_zero_delay_s": autoscaling.downscale_to_zero_delay_s,
            "look_back_period_s": autoscaling.look_back_s,
            "metrics_interval_s": REPORT_S,
            "policy": {"policy_function": POLICY},
        }
    else:
        options["num_replicas"] = replicas
    return options


def most_replicas(options: Mapping[str, Any]) -> int | None:
    """Return the autoscaler's upper bound in these deployment options, None without autoscaling."""
    scaling = options.get("autoscaling_config")
    return None if scaling is None else int(scaling["max_replicas"])


def lifetime_environment(longest_answer_s: float) -> dict[str, str]:
    """Return the variables of all Ray processes that decide how long a stream may live.

    Each of these bounds cuts streams in mid-answer where it is shorter than the longest answer.

    Args:
        longest_answer_s: the longest of all applications' on these proxies, in seconds.
    """
    patience = str(math.ceil(longest_answer_s + SHUTDOWN_MARGIN_S))
    return {
        # An old HAProxy process lives on after each change of its replicas, until its last stream
        # has ended or this time is over.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": patience,
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": patience,
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": patience,
        "RAY_SERVE_LLM_ROUTER_HTTP_TIMEOUT": patience,
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": f"{DEREGISTRATION_S:g}",
        # A replica whose engine hangs would otherwise wait for its requests' ends, and hold its
        # GPUs, for as long as the longest answer takes.
        "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    }
