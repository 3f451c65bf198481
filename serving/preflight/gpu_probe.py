"""The GPUs of a machine: NVIDIA's by NVML, AMD's by sysfs."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from serving.preflight.host_facts import HostGpu

AMD_VENDOR = "0x1002"
NO_LIBRARY = "the package nvidia-ml-py is not installed (pip install 'r1[telemetry]')"
Value = TypeVar("Value")


def nvidia_gpus() -> tuple[tuple[HostGpu, ...], str]:
    """All NVIDIA GPUs and the driver's version.

    Raises:
        RuntimeError: no driver answers; the message says why.
    """
    try:
        import pynvml
    except ImportError as error:
        raise RuntimeError(NO_LIBRARY) from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise RuntimeError(f"no NVIDIA driver answers ({error})") from error
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        count = pynvml.nvmlDeviceGetCount()
        return tuple(_nvidia_gpu(pynvml, index) for index in range(count)), driver
    except pynvml.NVMLError as error:
        raise RuntimeError(f"the NVIDIA driver doesn't tell of its GPUs ({error})") from error
    finally:
        pynvml.nvmlShutdown()


def _nvidia_gpu(nvml: Any, index: int) -> HostGpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)

    def told(ask: Callable[[], Value]) -> Value | None:
        """What the driver says; None where this GPU or driver has no such thing."""
        try:
            return ask()
        except nvml.NVMLError:
            return None

    def is_up(link: int) -> bool:
        state = told(lambda: nvml.nvmlDeviceGetNvLinkState(handle, link))
        return bool(state == nvml.NVML_FEATURE_ENABLED)

    def fabric_ready() -> bool | None:
        info = nvml.c_nvmlGpuFabricInfo_t()
        nvml.nvmlDeviceGetGpuFabricInfo(handle, ctypes.byref(info))
        if info.state == nvml.NVML_GPU_FABRIC_STATE_NOT_SUPPORTED:
            return None
        return bool(info.state == nvml.NVML_GPU_FABRIC_STATE_COMPLETED)

    mig = told(lambda: nvml.nvmlDeviceGetMigMode(handle)[0])
    return HostGpu(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_bytes=int(memory.total),
        free_bytes=int(memory.free),
        sliced=None if mig is None else mig == nvml.NVML_DEVICE_MIG_ENABLE,
        uncorrected_errors=told(
            lambda: int(
                nvml.nvmlDeviceGetTotalEccErrors(
                    handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
                )
            )
        ),
        links=sum(map(is_up, range(nvml.NVML_NVLINK_MAX_LINKS))),
        fabric_ready=told(fabric_ready),
    )


def amd_gpus(sys: Path = Path("/sys")) -> tuple[HostGpu, ...]:
    """All AMD GPUs that the kernel driver knows."""
    found: list[HostGpu] = []
    for device in sorted(sys.glob("class/drm/card[0-9]*/device")):
        total = _number(device / "mem_info_vram_total")
        if _read(device / "vendor") != AMD_VENDOR or total is None:
            continue
        used = _number(device / "mem_info_vram_used") or 0
        name = _read(device / "product_name") or "AMD GPU"
        found.append(HostGpu(len(found), name, total, total - used))
    return tuple(found)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text.isdecimal() else None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
