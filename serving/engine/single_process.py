"""An engine whose only worker runs inside the engine core, on CPU and without parallelism.

Ray Serve LLM asks for vLLM's multi-process executor on every CPU, which costs one more process of
half a gigabyte and some ten seconds at each start, and a queue between scheduler and worker at
each step. vLLM refuses the single-process one on CPU because it can't pin threads there; this
deployment doesn't pin them (OMP_NUM_THREADS comes with the environment), so it can be had.
"""

from typing import Any

from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine


class SingleProcessEngine(VLLMEngine):  # type: ignore[misc]
    """VLLMEngine that runs a lone CPU worker in the engine core's own process."""

    def _prepare_engine_config(self, callback_ctx: Any) -> tuple[Any, Any, Any]:
        engine, frontend, config = super()._prepare_engine_config(callback_ctx)
        parallel = config.parallel_config
        if parallel.world_size == 1 and parallel.distributed_executor_backend == "mp":
            parallel.distributed_executor_backend = "uni"
        return engine, frontend, config
