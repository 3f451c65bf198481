"""How many replicas a model gets, and how each of them ends: Ray Serve's deployment options.

Ray Serve LLM's own defaults leave autoscaling inert (a target of a thousand million requests, one
replica at most, an unbounded queue) and cut streams 20 seconds after an upgrade begins. So every
one of these options is always set here, from what the deployment says.
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator

# A replica tells the load balancers it is leaving, and then closes its sockets.
SHUTDOWN_MARGIN_S = 30.0
# Three failures in a row make a replica unhealthy.
HEALTH_CHECK_PERIOD_S = 2.0
# A busy engine answers a health check late; a dead one fails it at once.
HEALTH_CHECK_TIMEOUT_S = 30.0
# Requests that a replica holds for each sequence that its engine runs: the rest wait in the
# engine's queue. Above it the replica refuses, so that the gateway's queue is the one that grows.
HELD_FOR_EACH_SEQUENCE = 2


class Autoscaling(BaseModel):
    """Bounds and pace of a model's autoscaling."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: PositiveInt
    target_ongoing_requests: Annotated[float, Field(gt=0)]
    """Requests in flight a replica that the autoscaler aims at."""
    upscale_delay_s: NonNegativeFloat = 10.0
    downscale_delay_s: NonNegativeFloat = 600.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas ({self.min_replicas}) is above max_replicas ({self.max_replicas})"
            )
        return self


def deployment_options(
    *,
    replicas: int | None,
    autoscaling: Autoscaling | None,
    longest_answer_s: float,
    max_num_seqs: int,
) -> dict[str, Any]:
    """Return the deployment options of a model's replicas.

    Args:
        replicas: a fixed number, or None with `autoscaling`.
        autoscaling: bounds and target, or None with `replicas`.
        longest_answer_s: seconds that the longest answer may take; a replica that is asked to
            leave gets that long to finish what it is writing.
        max_num_seqs: sequences that one engine runs together.
    """
    options: dict[str, Any] = {
        "max_ongoing_requests": HELD_FOR_EACH_SEQUENCE * max_num_seqs,
        "graceful_shutdown_timeout_s": longest_answer_s + SHUTDOWN_MARGIN_S,
        "graceful_shutdown_wait_loop_s": 1.0,
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
    }
    if autoscaling is not None:
        options["autoscaling_config"] = {
            "min_replicas": autoscaling.min_replicas,
            "max_replicas": autoscaling.max_replicas,
            "initial_replicas": max(1, autoscaling.min_replicas),
            "target_ongoing_requests": autoscaling.target_ongoing_requests,
            "upscale_delay_s": autoscaling.upscale_delay_s,
            "downscale_delay_s": autoscaling.downscale_delay_s,
        }
    else:
        options["num_replicas"] = replicas
    return options
