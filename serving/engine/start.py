"""Starting the engine and asking it what its start took."""

import time
from typing import Any

from serving.engine.cold_start import ColdStart
from serving.engine.executor import TIMED

_BEFORE = ("fetch", "verify")
_OF_WORKERS = ("load", "compile")


async def time_engine(start: ColdStart, engine: Any) -> None:
    """Start Ray LLM's engine and record its phases; ranks work together, so the slowest counts.

    Workers that a deployment chose itself don't tell: all that they do is then `engine`.
    """
    began = time.monotonic()
    await engine.start()
    client = engine._engine_client
    if client.vllm_config.parallel_config.worker_cls in TIMED:
        ranks = await client.collective_rpc("start_phases")
        for phase in _OF_WORKERS:
            start.add(phase, max(rank.get(phase, 0.0) for rank in ranks))
    told = sum(start.took.get(phase, 0.0) for phase in (*_BEFORE, *_OF_WORKERS))
    start.add("engine", time.monotonic() - began - told)
