"""vLLM's GPU worker (CUDA and ROCm), timed."""

from vllm.v1.worker.gpu_worker import Worker

from serving.engine.timed import Timed


class TimedGPUWorker(Timed, Worker):  # type: ignore[misc]
    """Worker that knows what its start took."""
