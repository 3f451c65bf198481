import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from serving.telemetry import gpus
from serving.telemetry.gpus import AmdGpus, Gpu, NvmlGpus, find_gpus

GIB = 2**30


class NVMLError(Exception):
    pass


class Nvml:
    """What is used of pynvml: three GPUs, one divided into instances, one lost."""

    NVMLError = NVMLError

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index == 2:
            raise NVMLError("GPU is lost")
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(used=60 * GIB, total=80 * GIB)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        if handle == 1:
            raise NVMLError("Not Supported")
        return SimpleNamespace(gpu=97, memory=40)


def test_nvidia_gpus_are_read_and_a_lost_one_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert NvmlGpus(Nvml())() == [Gpu("0", 0.97, 0.75), Gpu("1", None, 0.75)]
    assert "GPU 2 can't be read: GPU is lost" in caplog.text


def card(sysfs: Path, name: str, **files: str) -> None:
    device = sysfs / name / "device"
    device.mkdir(parents=True)
    for file, content in files.items():
        (device / file).write_text(content + "\n")


def test_amd_gpus_are_read_from_their_files(tmp_path: Path) -> None:
    card(tmp_path, "card0", vendor="0x1a03")  # a board's own graphics
    card(
        tmp_path,
        "card1",
        gpu_busy_percent="63",
        mem_info_vram_used=str(48 * GIB),
        mem_info_vram_total=str(192 * GIB),
    )
    card(tmp_path, "card2", mem_info_vram_used="1", mem_info_vram_total="4")
    (tmp_path / "card1-DP-1").mkdir()
    (tmp_path / "renderD128").mkdir()
    assert AmdGpus(tmp_path)() == [Gpu("0", 0.63, 0.25), Gpu("1", None, 0.25)]


def test_a_node_without_gpus_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpus, "_nvml", lambda: None)
    with caplog.at_level(logging.INFO):
        assert find_gpus(tmp_path) is None
    assert len(caplog.records) == 1


def test_a_driver_that_is_away_is_no_error() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert gpus._nvml() is None
    else:
        assert gpus._nvml() is pynvml


def test_amd_is_found_where_nvidia_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_nvml", lambda: None)
    card(tmp_path, "card0", mem_info_vram_used="1", mem_info_vram_total="4")
    assert isinstance(find_gpus(tmp_path), AmdGpus)
    monkeypatch.setattr(gpus, "_nvml", Nvml)
    assert isinstance(find_gpus(tmp_path), NvmlGpus)
