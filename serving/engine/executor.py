"""Which executor and worker an engine on CPU gets; pure.

Ray Serve LLM asks for vLLM's multi-process executor on every CPU, which costs one more process of
half a gigabyte and some ten seconds at each start, and a queue between scheduler and worker at
each step. vLLM refuses the single-process one on CPU because it can't pin threads there; this
deployment doesn't pin them (OMP_NUM_THREADS comes with the environment), so it can be had.
"""

from typing import Any

EXPERT_WORKER = "serving.engine.expert_worker.ExpertParallelWorker"


def adapt(parallel: Any) -> None:
    """Change a vLLM ParallelConfig that asks for multi-process workers, as only CPU ones do."""
    if parallel.distributed_executor_backend != "mp":
        return
    if parallel.world_size == 1:
        parallel.distributed_executor_backend = "uni"
    elif parallel.enable_expert_parallel:
        parallel.worker_cls = EXPERT_WORKER
