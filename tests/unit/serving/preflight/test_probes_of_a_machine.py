"""Reading this machine, and machines made of files."""

import errno
import os
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from serving.errors import WeightsError
from serving.preflight import gpu_probe
from serving.preflight.host_facts import HostGpu, Rdma
from serving.preflight.host_probe import look
from serving.weights.source import Hub, cache_key
from tests.unit.serving.preflight.right import NANO, R1, case_of, gpu_of


def no_gpus() -> tuple[tuple[HostGpu, ...], str]:
    raise RuntimeError("no driver")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_this_machine_is_looked_at() -> None:
    case = case_of(NANO)
    host = look(case.demands, dict(os.environ), read_gpus=no_gpus)
    assert host.memory_bytes is not None
    assert host.memory_bytes >= (host.available_bytes or 0) > 0
    assert host.shm_bytes is not None
    assert "lo" in host.interfaces
    assert host.packages["ray"] is not None
    assert host.weights["r1-nano"].problem == ""
    assert host.weights["r1-nano"].bytes > 10_000_000


def test_a_machine_of_files(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu avx2\n")
    write(tmp_path / "sys/fs/cgroup/memory.max", "1073741824\n")
    write(tmp_path / "sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n")
    write(tmp_path / "sys/class/infiniband/mlx5_1/ports/1/state", "1: DOWN\n")
    write(tmp_path / "sys/class/net/eth0/mtu", "1500")
    host = look(
        (), {}, read_gpus=no_gpus, proc=tmp_path / "proc", sys=tmp_path / "sys", shm=tmp_path
    )
    assert host.cpu_flags == frozenset({"fpu", "avx2"})
    assert host.memory_bytes == 2**30
    assert host.rdma == (Rdma("mlx5_0", active=True), Rdma("mlx5_1", active=False))
    assert host.interfaces == ("eth0",)
    assert (host.gpus, host.gpu_problem) == (None, "no driver")


def test_a_machine_without_any_of_these_files(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    host = look((), {}, read_gpus=no_gpus, proc=gone, sys=gone, shm=gone)
    assert host.cpu_flags is None
    assert (host.rdma, host.interfaces) == ((), ())


def test_only_known_settings_are_kept_and_no_secret() -> None:
    environment = {"VLLM_API_KEY": "hunter2", "HF_TOKEN": "hunter2", "NCCL_DEBUG": "WARN"}
    host = look((), environment, read_gpus=no_gpus)
    assert host.environment == {"NCCL_DEBUG": "WARN"}
    assert host.hub_token is True
    assert "hunter2" not in repr(host)


def test_a_stored_token_counts_but_is_not_opened(tmp_path: Path) -> None:
    token = tmp_path / "token"
    assert look((), {"HF_HOME": str(tmp_path)}, read_gpus=no_gpus).hub_token is False
    token.write_text("hunter2")
    token.chmod(0)
    host = look((), {"HF_HOME": str(tmp_path)}, read_gpus=no_gpus)
    assert host.hub_token is True
    assert "hunter2" not in repr(host)


def test_weights_in_the_cache_of_this_machine_are_found(tmp_path: Path) -> None:
    case = case_of(R1)
    environment = {"R1_WEIGHTS_CACHE": str(tmp_path), "R1_WEIGHTS_CACHE_GB": "700"}
    name = cache_key(Hub("deepseek-ai/DeepSeek-R1"))
    write(tmp_path / "another/model.safetensors", "x" * 500)
    write(tmp_path / f"{name}.partial/model.safetensors", "x" * 1000)
    before = sorted(tmp_path.rglob("*"))
    cut_short = look(case.demands, environment, read_gpus=no_gpus).weights["deepseek-r1"]
    assert sorted(tmp_path.rglob("*")) == before
    assert (cut_short.place, cut_short.bytes) == (str(tmp_path), 1000)
    assert (cut_short.droppable_bytes, cut_short.limit_bytes) == (500, 700_000_000_000)
    assert "no such folder" in cut_short.problem
    shutil.copytree(case_of(NANO).demands[0].engine.source, tmp_path / name)
    whole = look(case.demands, environment, read_gpus=no_gpus).weights["deepseek-r1"]
    assert whole.problem == ""
    assert whole.bytes > 10_000_000


def test_a_folder_with_damaged_weights(tmp_path: Path) -> None:
    write(tmp_path / "config.json", "{}")
    write(tmp_path / "model.safetensors", "no tensors")
    case = case_of({**NANO, "weights": str(tmp_path)})
    found = look(case.demands, {}, read_gpus=no_gpus).weights["r1-nano"]
    assert found.problem.startswith("model.safetensors: ")


def test_a_wrong_limit_of_the_cache_is_told() -> None:
    with pytest.raises(WeightsError, match="give gigabytes"):
        look(case_of(R1).demands, {"R1_WEIGHTS_CACHE_GB": "much"}, read_gpus=no_gpus)


def test_amd_gpus_are_read_from_files(tmp_path: Path) -> None:
    card = tmp_path / "class/drm/card1/device"
    write(card / "vendor", "0x1002\n")
    write(card / "mem_info_vram_total", "206141652992\n")
    write(card / "mem_info_vram_used", "1048576\n")
    write(card / "product_name", "AMD Instinct MI300X OAM\n")
    write(tmp_path / "class/drm/card0/device/vendor", "0x10de\n")
    (gpu,) = gpu_probe.amd_gpus(tmp_path)
    assert gpu == HostGpu(0, "AMD Instinct MI300X OAM", 206141652992, 206141652992 - 1048576)
    host = look((), {}, read_gpus=no_gpus, sys=tmp_path)
    assert host.gpus == (gpu,)
    assert host.gpu_problem == ""


@pytest.mark.parametrize(
    ("devices", "indices"), [("0,2", [0, 2]), ("GPU-8f2a", [0, 1, 2]), ("", [0, 1, 2])]
)
def test_only_gpus_that_cuda_offers_count(devices: str, indices: list[int]) -> None:
    def read() -> tuple[tuple[HostGpu, ...], str]:
        return tuple(gpu_of(index) for index in range(3)), "580.1"

    host = look((), {"CUDA_VISIBLE_DEVICES": devices}, read_gpus=read)
    assert [gpu.index for gpu in host.gpus or ()] == indices


class NvmlError(Exception):
    """What the fake driver answers where it knows nothing."""


def fake_nvml(**answers: Any) -> types.ModuleType:
    """A module like pynvml with one GPU; an answer that is an exception is raised."""

    def answer(name: str) -> Any:
        def call(*_: Any) -> Any:
            value = answers[name]
            if isinstance(value, Exception):
                raise value
            return value

        return call

    def fabric(_handle: Any, reference: Any) -> None:
        if isinstance(answers["fabric"], Exception):
            raise answers["fabric"]
        reference._obj.state = answers["fabric"]

    import pynvml

    module = types.ModuleType("pynvml")
    module.__dict__.update(
        {name: value for name, value in vars(pynvml).items() if name.isupper()},
        NVMLError=NvmlError,
        c_nvmlGpuFabricInfo_t=pynvml.c_nvmlGpuFabricInfo_t,
        nvmlInit=answer("init"),
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=answer("driver"),
        nvmlDeviceGetCount=answer("count"),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=answer("name"),
        nvmlDeviceGetMemoryInfo=lambda _: types.SimpleNamespace(total=1000, free=900),
        nvmlDeviceGetMigMode=answer("mig"),
        nvmlDeviceGetTotalEccErrors=answer("ecc"),
        nvmlDeviceGetNvLinkState=lambda _, link: answers["links"][link],
        nvmlDeviceGetGpuFabricInfo=fabric,
    )
    return module


WELL: dict[str, Any] = {
    "init": None,
    "driver": "580.82.07",
    "count": 1,
    "name": "NVIDIA H200",
    "mig": [0, 0],
    "ecc": 0,
    "links": [1] * 18 + [0] * 100,
    "fabric": 3,
}


def test_nvidia_gpus_are_asked_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(**WELL))
    gpus, driver = gpu_probe.nvidia_gpus()
    assert driver == "580.82.07"
    assert gpus == (
        HostGpu(
            0, "NVIDIA H200", 1000, 900,
            sliced=False, uncorrected_errors=0, links=18, fabric_ready=True,
        ),
    )  # fmt: skip


def test_what_a_gpu_does_not_know_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = NvmlError("Not Supported")
    answers = WELL | {"name": b"Tesla T4", "mig": unknown, "ecc": unknown, "fabric": 0}
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(**answers))
    ((gpu,), _) = gpu_probe.nvidia_gpus()
    assert (gpu.name, gpu.sliced, gpu.uncorrected_errors, gpu.fabric_ready) == (
        "Tesla T4", None, None, None,
    )  # fmt: skip


def test_a_fabric_that_is_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(**WELL | {"fabric": 2}))
    ((gpu,), _) = gpu_probe.nvidia_gpus()
    assert gpu.fabric_ready is False


@pytest.mark.parametrize("where", ["init", "driver", "count"])
def test_a_driver_that_does_not_answer(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = fake_nvml(**WELL | {where: NvmlError("Driver Not Loaded")})
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    with pytest.raises(RuntimeError, match="Driver Not Loaded"):
        gpu_probe.nvidia_gpus()


def test_a_machine_whose_sockets_may_not_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str) -> list[Any]:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("psutil.net_connections", refuse)
    assert look((), {}, read_gpus=no_gpus).ports is None
