"""The GPUs of this machine, as its drivers' own tools list them, and the shape they make."""

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from serving.errors import UnknownMachine
from serving.hardware.machine import Machine

MIB = 1024**2
TOOL_LIMIT_S = 60.0
MEMORY_TOLERANCE = 0.1
"""Cards of one name differ by a few percent in what the driver keeps; 40 and 80 GB do not."""

Run = Callable[[Sequence[str]], str]
Probe = Callable[[], "list[FoundGpu]"]

NVIDIA = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
AMD = ("amd-smi", "static", "--asic", "--vram", "--json")


@dataclass(frozen=True, slots=True)
class FoundGpu:
    """One GPU as its driver names it."""

    name: str
    memory_bytes: int


def find_gpus(run: Run | None = None) -> list[FoundGpu]:
    """This machine's GPUs by nvidia-smi, else by amd-smi; none where there is neither."""
    output = run or _output
    found = parse_nvidia(output(NVIDIA))
    return found or parse_amd(output(AMD))


def _output(command: Sequence[str]) -> str:
    """What a tool prints; nothing where there is no such tool or it finds no driver."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TOOL_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def parse_nvidia(text: str) -> list[FoundGpu]:
    """Read lines of `name, MiB`; boards with unified memory say `[N/A]` and are left out."""
    found = []
    for line in text.splitlines():
        name, _, memory = line.rpartition(",")
        if name and memory.strip().isdigit():
            found.append(FoundGpu(name.strip(), int(memory) * MIB))
    return found


def parse_amd(text: str) -> list[FoundGpu]:
    """Read amd-smi's JSON: a list of GPUs, or an object that holds it as `gpu_data`."""
    try:
        document = json.loads(text)
    except ValueError:
        return []
    gpus = document.get("gpu_data", []) if isinstance(document, dict) else document
    found = []
    for gpu in gpus:
        name = gpu.get("asic", {}).get("market_name")
        size = gpu.get("vram", {}).get("size", {})
        if name and isinstance(size, dict) and size.get("unit") == "MB":
            found.append(FoundGpu(name, int(size["value"]) * MIB))
    return found


def match(found: Sequence[FoundGpu], machines: Iterable[Machine]) -> Machine:
    """The shape of one node with as many of the same GPUs.

    Where no shape has this many, the smallest with more of them is cut down.

    Raises:
        UnknownMachine: the GPUs are of different kinds, or no shape has their kind.
    """
    said = ", ".join(f"{name} ({count})" for name, count in _counted(found).items())
    fitting = [
        machine
        for machine in machines
        if machine.nodes == 1 and all(_is(machine, gpu) for gpu in found)
    ]
    larger = [machine for machine in fitting if machine.gpus_per_node >= len(found)]
    if not larger:
        raise UnknownMachine(
            f"no machine shape describes this machine's GPUs: {said}; give --hardware with a "
            "shape's id or with the path of a YAML file of your own"
        )
    shape = min(larger, key=lambda machine: machine.gpus_per_node)
    return shape if shape.gpus_per_node == len(found) else _cut(shape, len(found))


def _counted(found: Sequence[FoundGpu]) -> dict[str, int]:
    names = [gpu.name for gpu in found]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _is(machine: Machine, gpu: FoundGpu) -> bool:
    if machine.gpu is None:
        return False
    near = abs(gpu.memory_bytes / machine.memory_bytes - 1) <= MEMORY_TOLERANCE
    return near and _kind(machine.gpu.id) in _words(gpu.name)


def _kind(gpu_id: str) -> str:
    """The word that tells a GPU's kind: `h100`, `a100` of `a100-80`, `rtx4090`."""
    return gpu_id.split("-")[0]


def _words(name: str) -> set[str]:
    """The words of a driver's name and each two neighbours as one: `RTX 4090` is `rtx4090`."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return {*words, *map("".join, pairwise(words))}


def _cut(shape: Machine, gpus: int) -> Machine:
    kind = shape.id if shape.gpu is None else shape.gpu.id
    changes: dict[str, object] = {
        "id": f"{gpus}x{kind}",
        "title": f"{gpus} of the GPUs of {shape.title}",
        "gpus_per_node": gpus,
    }
    if gpus == 1:
        changes["link_within_node_gb_s"] = None
    return shape.model_copy(update=changes)
