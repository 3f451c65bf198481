"""Environment variables of the engine's processes. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from serving.catalog.architecture import DeepseekV3
from serving.catalog.model import Model
from serving.engine.checks import layout_of
from serving.errors import DoesNotFit
from serving.hardware import Machine
from serving.weights.source import OFFLINE

AMD_EXPERTS = {
    "VLLM_ROCM_USE_AITER": "1",
    "VLLM_ROCM_USE_AITER_MOE": "1",
    "SAFETENSORS_FAST_GPU": "1",
}
"""What AMD's recipe for R1 sets: its own kernels for attention and experts, and weights that are
read to the GPU directly."""


def environment(
    model: Model,
    machine: Machine,
    kwargs: Mapping[str, Any],
    *,
    local_weights: bool,
    cpus: Sequence[int] | None,
) -> dict[str, str]:
    """The variables that vLLM must find before it is imported.

    Args:
        model: from the catalog.
        machine: where the engine runs.
        kwargs: its arguments.
        local_weights: the weights are a folder, so that no hub is needed.
        cpus: ids of the processors it may use; None counts from 0.

    Raises:
        DoesNotFit: there are fewer processors than ranks.
    """
    found = {"VLLM_NO_USAGE_STATS": "1"}
    if local_weights:
        found |= OFFLINE
    if machine.gpu is not None and machine.gpu.vendor == "amd":
        found |= AMD_EXPERTS if isinstance(model.architecture, DeepseekV3) else {}
    if machine.is_cpu:
        layout = layout_of(kwargs)
        if layout.tensor * layout.pipeline > 1:
            found |= _bound(layout.devices, cpus)
        elif model.weights.path is not None:
            # vLLM's own choice keeps one processor for its scheduler and binds to the rest, so
            # both nano engines of a small machine would sit on the same one.
            found |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
        if kwargs.get("enforce_eager"):
            # vLLM's sampler still has a function compiled at its first use: 17 to 21 s of a start
            # on two processors, for no more tokens/s (16 sampled streams: 1,306 with it, 1,280
            # without; the runs differ by more).
            found["TORCHDYNAMO_DISABLE"] = "1"
    return found


def _bound(ranks: int, cpus: Sequence[int] | None) -> dict[str, str]:
    """Bind each rank to its own processors; vLLM's own choice wants a memory node for each."""
    usable = list(range(ranks)) if cpus is None else sorted(cpus)
    if len(usable) < ranks:
        raise DoesNotFit(
            f"{ranks} ranks need as many processors, but only {len(usable)} may be used; "
            "lower tensor_parallel_size or allow more"
        )
    share = len(usable) // ranks
    groups = [usable[rank * share : (rank + 1) * share] for rank in range(ranks)]
    bind = "|".join(",".join(map(str, group)) for group in groups)
    return {"VLLM_CPU_OMP_THREADS_BIND": bind}
