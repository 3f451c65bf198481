"""Ray Serve LLM's vLLM engine, with this deployment's choice of executor and worker on CPU."""

from typing import Any

from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine

from serving.engine.executor import adapt, time_start


class CpuEngine(VLLMEngine):  # type: ignore[misc]
    """VLLMEngine that chooses executor and worker for CPU, and everywhere times the start."""

    def _prepare_engine_config(self, callback_ctx: Any) -> tuple[Any, Any, Any]:
        engine, frontend, config = super()._prepare_engine_config(callback_ctx)
        adapt(config.parallel_config, adapters=config.lora_config is not None)
        time_start(config.parallel_config)
        return engine, frontend, config
