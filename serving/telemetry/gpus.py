"""What the GPUs of this node do: NVIDIA's by NVML, AMD's by sysfs."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSFS = Path("/sys/class/drm")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment. Shares are 0 to 1; None where the device doesn't tell."""

    index: str
    utilization: float | None
    memory_used: float | None


GpuReader = Callable[[], Iterable[Gpu]]


def find_gpus(sysfs: Path = SYSFS) -> GpuReader | None:
    """Return the reader of this node's GPUs, or None, said once in the log, where it has none."""
    nvml = _nvml()
    if nvml is not None:
        return NvmlGpus(nvml)
    amd = AmdGpus(sysfs)
    if amd.cards:
        return amd
    _log.info("no NVIDIA driver and no AMD GPU was found: there are no GPU gauges")
    return None


class NvmlGpus:
    """NVIDIA's management library, as `nvidia-smi` uses it; a container sees only its own GPUs."""

    def __init__(self, nvml: Any) -> None:
        """Args: `nvml` is the module pynvml, initialised."""
        self._nvml = nvml

    def __call__(self) -> list[Gpu]:
        """Return all GPUs; one that fails is left out."""
        found = []
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
            except self._nvml.NVMLError as error:
                _log.warning("GPU %d can't be read: %s", index, error)
                continue
            share = memory.used / memory.total if memory.total else None
            found.append(Gpu(str(index), self._utilization(handle), share))
        return found

    def _utilization(self, handle: Any) -> float | None:
        try:
            return float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
        except self._nvml.NVMLError:  # one that is divided into instances has none
            return None


class AmdGpus:
    """The amdgpu driver's files (https://docs.kernel.org/gpu/amdgpu/thermal.html)."""

    def __init__(self, sysfs: Path) -> None:
        """Look for cards, which come and go only with the driver."""
        devices = sorted(sysfs.glob("card[0-9]*/device"), key=lambda path: path.parent.name)
        self.cards = [path for path in devices if (path / "mem_info_vram_total").is_file()]

    def __call__(self) -> list[Gpu]:
        """Return all GPUs, numbered from 0 in the order of their cards."""
        found = []
        for index, card in enumerate(self.cards):
            busy = _number(card / "gpu_busy_percent")
            used = _number(card / "mem_info_vram_used")
            total = _number(card / "mem_info_vram_total")
            share = used / total if used is not None and total else None
            found.append(Gpu(str(index), None if busy is None else busy / 100, share))
        return found


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # the driver refuses while a card is reset
        return None


def _nvml() -> Any | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
