"""Stand-ins for accelerators that this machine lacks, so that vLLM's own checks can be asked.

vLLM checks a configuration against the platform it runs on: whether the GPU has kernels for the
weights' format, whether experts can be balanced, how many sequences its memory suggests. Here its
own CUDA and ROCm platform classes are told what the accelerator is instead of finding it. Nothing
can be computed on a stand-in.
"""

import importlib
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

from serving.hardware import Machine


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator as vLLM sees it."""

    kind: Literal["cuda", "rocm", "cpu"]
    name: str = "cpu"
    capability: tuple[int, int] = (0, 0)
    """CUDA's compute capability, or the first two digits of AMD's gfx number."""
    gfx: str = ""
    memory_bytes: int = 0
    count: int = 0
    """Accelerators in a node."""


def device_of(machine: Machine) -> Device:
    """The accelerator of a machine; where it has none, the processors."""
    gpu = machine.gpu
    if gpu is None:
        return Device("cpu")
    capability = gpu.capability
    if capability is None:
        digits = (gpu.gfx or "gfx000").removeprefix("gfx")
        capability = (int(digits[0]), int(digits[1], 16))
    return Device(
        kind="cuda" if gpu.vendor == "nvidia" else "rocm",
        name=gpu.name,
        capability=capability,
        gfx=gpu.gfx or "",
        memory_bytes=machine.memory_bytes,
        count=machine.gpus_per_node,
    )


class StandIns:
    """Lets this process's vLLM believe in one device after the other.

    Everything that vLLM imports must be imported while it still knows the real platform: its
    modules load kernels for what they find. So everything that may be needed is imported first,
    and then the one platform object that all modules hold changes its class.
    """

    def __init__(self) -> None:
        from vllm.model_executor.layers.quantization import get_quantization_config
        from vllm.platforms import current_platform

        # This one imports the attention layers, which would look for CUDA's kernels.
        get_quantization_config("quark")
        self._platform: Any = current_platform
        self._real = type(current_platform)

    def become(self, device: Device) -> None:
        """Make vLLM see this device from now on."""
        if device.kind == "cpu":
            self._platform.__class__ = self._real
            return
        base = _cuda() if device.kind == "cuda" else _rocm(device)
        self._platform.__class__ = _stand_in(base, device)


def _cuda() -> type[Any]:
    # CUDA's kernels are not in a wheel for processors, and nothing calls them here.
    sys.modules.setdefault("vllm._C_stable_libtorch", ModuleType("vllm._C_stable_libtorch"))
    from vllm.platforms.cuda import CudaPlatformBase

    found: type[Any] = CudaPlatformBase
    return found


def _rocm(device: Device) -> type[Any]:
    import torch

    sys.modules.setdefault("vllm._C_stable_libtorch", ModuleType("vllm._C_stable_libtorch"))
    real = torch.cuda.get_device_properties
    properties: Any = SimpleNamespace(gcnArchName=device.gfx, name=device.name)
    # What follows from the instruction set is settled while the module is executed.
    torch.cuda.get_device_properties = lambda *_: properties
    try:
        rocm = importlib.import_module("vllm.platforms.rocm")
        if device.gfx != rocm._GCN_ARCH:
            rocm = importlib.reload(rocm)
    finally:
        torch.cuda.get_device_properties = real
    found: type[Any] = rocm.RocmPlatform
    return found


def _stand_in(base: type[Any], device: Device) -> type[Any]:
    from vllm.platforms.interface import DeviceCapability

    capability = DeviceCapability(*device.capability)
    answers: dict[str, Any] = {
        "get_device_capability": capability,
        "get_device_name": device.name,
        "get_device_total_memory": device.memory_bytes,
        "device_count": device.count,
        # Read for the size of graphs to capture only; any GPU of a data centre has about as many.
        "num_compute_units": 128,
        "is_fully_connected": True,
    }

    def always(value: Any) -> Any:
        return classmethod(lambda cls, *args, **kwargs: value)

    return type("StandIn", (base,), {name: always(value) for name, value in answers.items()})
