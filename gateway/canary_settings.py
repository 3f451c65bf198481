"""The configuration of the canary, which compares what a model's replicas compute."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gateway.settings_types import Seconds, Section, off


class CanarySettings(Section):
    """How often replicas are asked the fixed prompt, and what follows from their numbers.

    `eject`: one whose numbers drift gets nothing until they are right again; `watch`: metrics and
    log only; `off`: nobody is asked. Upstreams of the dialect `vllm` only.
    """

    mode: Annotated[Literal["eject", "watch", "off"], BeforeValidator(off)] = "eject"
    interval_s: Annotated[float, Field(ge=1)] = 60.0
    """Between two rounds over a model's replicas, all gateways together."""
    doubt_s: Annotated[float, Field(ge=0.1)] = 5.0
    """Between two rounds while a replica is new, or its numbers have just changed sides."""
    tolerance: Annotated[float, Field(gt=0, le=10)] = 0.3
    """Drift, in nats, above which numbers are wrong (gateway/canary/policy.py)."""
    rounds: Annotated[int, Field(ge=1, le=10)] = 2
    """Rounds in a row that eject a replica, or bring it back."""
    timeout_s: Seconds = 30.0
    """How long one may take to answer; one that doesn't in time has told nothing."""
