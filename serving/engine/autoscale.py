"""How many replicas a load wants: the policy that Ray Serve's autoscaler asks. Pure.

Ray Serve hands this module by value to its controller, so it imports nothing of ours.
"""

import math
from typing import Any

POLICY = "serving.engine.autoscale:head_room"
"""Its import path, as `autoscaling_config.policy.policy_function` takes it."""
DEVIATIONS = 1.0
"""Of the number of requests in flight, kept free above its mean."""


def expected_in_flight(offered: float) -> float:
    """Requests in flight to be ready for, once the present arrivals have gone on for a while.

    Their mean is `offered`, arrivals a second times the seconds that an answer takes (Little's
    law): known as soon as the rate is, while the count of those in flight takes as long to rise
    as an answer takes. Above it lies what chance adds, in units of its square root (Halfin and
    Whitt, "Heavy-Traffic Limits for Queues with Many Exponential Servers", 1981).
    """
    return offered + DEVIATIONS * math.sqrt(offered)


def wanted_replicas(
    in_flight: float, waiting: float, arrivals: float, offered: float, target: float
) -> float:
    """Replicas of `target` requests each, for those that are there and those to be expected.

    `waiting` are requests that no replica has yet; where there were `arrivals` lately, one more is
    expected at least. The result is rounded up by who scales.
    """
    return max(in_flight + waiting, expected_in_flight(offered), min(1.0, arrivals)) / target


def head_room(context: Any) -> tuple[float, dict[str, Any]]:
    """Ray Serve's side of it: takes its AutoscalingContext, returns replicas and no state.

    Delays, bounds and the first replica after none are Ray Serve's own (`autoscaling_config`).
    """
    told = context.aggregated_metrics or {}
    if context.current_num_replicas == 0 or "in_flight" not in told:
        # Nobody reports yet, which is no reason to take anybody away.
        return context.target_num_replicas, {}
    wanted = wanted_replicas(
        in_flight=sum(told.get("in_flight", {}).values()) + context.total_queued_requests,
        # Each replica tells the same number, that of all gateways.
        waiting=max(told.get("waiting", {}).values(), default=0.0),
        arrivals=sum(told.get("arrivals", {}).values()),
        offered=sum(told.get("offered", {}).values()),
        target=context.config.get_target_ongoing_requests(),
    )
    return wanted, {}
