"""vLLM's CPU worker with LoRA mended: named by `worker_cls`, loaded by vLLM."""

from typing import Any

from vllm.lora.ops.torch_ops import lora_ops
from vllm.lora.punica_wrapper import punica_cpu

from serving.engine.adapter_kernels import mend
from serving.engine.timed_cpu import TimedCPUWorker


class AdapterWorker(TimedCPUWorker):
    """CPU worker whose base model stays as it is while adapters are asked beside it."""

    def load_model(self, **options: Any) -> None:
        """Load the model with the mended kernels."""
        mend(lora_ops, punica_cpu)
        super().load_model(**options)
