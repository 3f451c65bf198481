"""Which executor and worker an engine on CPU gets; pure.

Ray Serve LLM asks for vLLM's multi-process executor on every CPU, which costs one more process of
half a gigabyte and some ten seconds at each start, and a queue between scheduler and worker at
each step. vLLM refuses the single-process one on CPU because it can't pin threads there; this
deployment doesn't pin them (OMP_NUM_THREADS comes with the environment), so it can be had.
"""

from typing import Any

TIMED_WORKERS = {
    "vllm.v1.worker.cpu_worker.CPUWorker": "serving.engine.timed_cpu.TimedCPUWorker",
    "vllm.v1.worker.gpu_worker.Worker": "serving.engine.timed_gpu.TimedGPUWorker",
}
EXPERT_WORKER = "serving.engine.expert_worker.ExpertParallelWorker"
ADAPTER_WORKER = "serving.engine.adapter_worker.AdapterWorker"
TIMED = (*TIMED_WORKERS.values(), EXPERT_WORKER, ADAPTER_WORKER)


def adapt(parallel: Any, *, adapters: bool = False) -> None:
    """Change a vLLM ParallelConfig that asks for multi-process workers, as only CPU ones do."""
    if parallel.distributed_executor_backend != "mp":
        return
    if parallel.world_size == 1:
        parallel.distributed_executor_backend = "uni"
    if adapters:
        parallel.worker_cls = ADAPTER_WORKER
    elif parallel.enable_expert_parallel:
        parallel.worker_cls = EXPERT_WORKER


def time_start(parallel: Any) -> None:
    """Change a vLLM ParallelConfig so that its workers know what their start took.

    Workers that vLLM has no timed counterpart for stay as they are.
    """
    parallel.worker_cls = TIMED_WORKERS.get(parallel.worker_cls, parallel.worker_cls)
