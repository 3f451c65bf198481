"""How many replicas a profile and a machine allow, and the load that each aims at. Pure."""

from serving.engine.args import EngineArguments
from serving.engine.checks import layout_of
from serving.engine.memory import kv_budget_bytes, kv_bytes_per_token_per_rank
from serving.engine.scaling import Autoscaling

HELD_TOKENS = 6144
"""Tokens that a request holds in the KV cache, all its time considered: a prompt of 2,048 and an
answer of 8,192, of which half is written on average. MLPerf's mean answer of R1 has 4,043."""
TARGET_SHARE = 0.75
"""Of the requests that an engine can run together: the rest is for those who come while the next
replica starts."""


def requests_together(engine: EngineArguments) -> int:
    """Requests that one engine can run together: what its scheduler takes and its cache holds."""
    model, kwargs = engine.model, engine.kwargs
    layout = layout_of(kwargs)
    budget = kv_budget_bytes(
        model, engine.machine, layout, utilization=kwargs.get("gpu_memory_utilization")
    )
    per_token = kv_bytes_per_token_per_rank(model, layout, cache_dtype=kwargs.get("kv_cache_dtype"))
    held = budget // (per_token * min(HELD_TOKENS, int(kwargs["max_model_len"])))
    return max(1, min(int(kwargs["max_num_seqs"]), held))


def target_of(engine: EngineArguments) -> float:
    """Requests in flight a replica to aim at."""
    return max(1.0, TARGET_SHARE * requests_together(engine))


def autoscaling_of(engine: EngineArguments, *, gpus: int | None = None) -> Autoscaling | None:
    """The profile's pace as bounds and a target; None where it has none, or for processors.

    Args:
        engine: what a replica is started with.
        gpus: that the model's replicas may take; all of the machine if None.
    """
    pace = engine.profile.pace
    if pace is None or engine.machine.is_cpu:
        return None
    most = max(1, (engine.machine.gpus if gpus is None else gpus) // engine.devices)
    return Autoscaling(
        min_replicas=min(pace.least, most),
        max_replicas=most,
        target_ongoing_requests=target_of(engine),
        upscale_delay_s=pace.up_s,
        downscale_delay_s=pace.down_s,
    )
