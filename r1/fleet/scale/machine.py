"""What one replica can do: the plan's figures of the 671B on a node of 8 × H200."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from serving.catalog import Catalog
from serving.engine.args import engine_arguments
from serving.engine.elastic import target_of
from serving.hardware import Machine as Node
from serving.plan.roofline import Work
from serving.simulator.planned import planned

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL, NODE, PROFILE = "deepseek-r1", "8xh200", "latency"
_CONTEXT_STEP, _PREFILL_STEP = 256, 128


@dataclass(frozen=True)
class Machine:
    """A replica's limits and how long its steps take."""

    sequences: int
    """Answers that decode together."""
    batched_tokens: int
    """Tokens that one step computes at most."""
    kv_tokens: int
    """Tokens that the KV cache holds."""
    tokens_per_step: float
    """Tokens of each answer that a step yields, accepted drafts included."""
    cold_start_s: float
    usd_per_hour: float
    target: float
    """Requests in flight that autoscaling aims at."""
    step_s: Callable[[int, float, int], float]
    """Seconds of a step: answers that decode, mean tokens of their contexts, prompt tokens."""


@lru_cache(maxsize=1)
def node() -> Machine:
    """The 671B as its `latency` profile runs on 8 × H200: TP 8, one drafted token."""
    engine = planned(MODEL, NODE, PROFILE)
    group, shape = engine.group, Node.load(NODE)
    if shape.usd_per_hour is None:
        raise ValueError(f"{NODE}: usd_per_hour is missing in its YAML file")

    @lru_cache(maxsize=1 << 16)
    def rounded(decoding: int, context: int, prefill: int) -> float:
        tokens = prefill * _PREFILL_STEP
        return group.seconds(Work(decoding, context * _CONTEXT_STEP, tokens, tokens, tokens))

    def step_s(decoding: int, context: float, prefill: int) -> float:
        # Rounded, so that a fleet asks the roofline for each of a few thousand steps once.
        return rounded(decoding, round(context / _CONTEXT_STEP), -(-prefill // _PREFILL_STEP))

    return Machine(
        sequences=engine.limits.sequences,
        batched_tokens=engine.limits.batched_tokens,
        kv_tokens=int(group.kv_tokens),
        tokens_per_step=group.tokens_per_step,
        cold_start_s=engine.cold_start_s,
        usd_per_hour=shape.usd_per_hour.value,
        target=target_of(engine_arguments(Catalog.load().resolve(MODEL), Node.load(NODE), PROFILE)),
        step_s=step_s,
    )
