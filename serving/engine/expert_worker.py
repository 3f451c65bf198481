"""vLLM's CPU worker with expert parallelism mended: named by `worker_cls`, loaded by vLLM."""

from typing import Any

from vllm.logger import init_logger
from vllm.v1.worker.cpu_worker import CPUWorker

from serving.engine.expert_parallel import held, mend

# One of vLLM's own, because only those are set up in its workers.
_log = init_logger("vllm.r1")


class ExpertParallelWorker(CPUWorker):  # type: ignore[misc]
    """CPUWorker that mends vLLM's experts before it loads the model."""

    def load_model(self, **options: Any) -> None:
        """Load the model; its experts are then computed by their owners."""
        from vllm.model_executor.layers.fused_moe.experts.cpu_moe import CPUUnquantizedExperts

        mend(CPUUnquantizedExperts)
        super().load_model(**options)
        # vLLM itself tells it of its first rank only.
        _log.info("rank %d computes %d of %d experts", *held(self.model_runner.model))
