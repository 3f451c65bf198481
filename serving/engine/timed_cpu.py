"""vLLM's CPU worker, timed."""

from vllm.v1.worker.cpu_worker import CPUWorker

from serving.engine.timed import Timed


class TimedCPUWorker(Timed, CPUWorker):  # type: ignore[misc]
    """CPUWorker that knows what its start took."""
