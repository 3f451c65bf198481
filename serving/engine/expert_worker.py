"""vLLM's CPU worker with expert parallelism mended: named by `worker_cls`, loaded by vLLM."""

from typing import Any

from vllm.logger import init_logger
from vllm.v1.worker.cpu_worker import CPUWorker

from serving.engine import data_parallel, expert_parallel
from serving.engine.expert_parallel import held
from serving.engine.timed import Timed

# One of vLLM's own, because only those are set up in its workers.
_log = init_logger("vllm.r1")


class ExpertParallelWorker(Timed, CPUWorker):  # type: ignore[misc]
    """CPUWorker that mends vLLM's experts and their collectives before it uses them."""

    def init_device(self) -> None:
        """Join the other ranks, with the collectives that data parallelism needs."""
        from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator

        data_parallel.mend(CpuCommunicator)
        super().init_device()

    def load_model(self, **options: Any) -> None:
        """Load the model; its experts are then computed by their owners."""
        from vllm.model_executor.layers.fused_moe.experts.cpu_moe import CPUUnquantizedExperts

        expert_parallel.mend(CPUUnquantizedExperts)
        super().load_model(**options)
        # vLLM itself tells it of its first rank only.
        _log.info("rank %d computes %d of %d experts", *held(self.model_runner.model))
