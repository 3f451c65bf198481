"""This machine's GPUs as the drivers' tools list them, and the shape they are taken for."""

import json
from collections.abc import Sequence

import pytest

from serving.errors import UnknownMachine
from serving.hardware import Machine
from serving.hardware.probe import AMD, MIB, NVIDIA, FoundGpu, find_gpus, match, parse_amd

MACHINES = [Machine.load(name) for name in Machine.ids()]


def tools(**outputs: str) -> list[FoundGpu]:
    def run(command: Sequence[str]) -> str:
        return {NVIDIA: outputs.get("nvidia", ""), AMD: outputs.get("amd", "")}[tuple(command)]

    return find_gpus(run)


def test_a_line_of_nvidias_tool_is_a_gpu() -> None:
    found = tools(nvidia="NVIDIA H200, 143771\nNVIDIA H200, 143771\n")
    assert found == [FoundGpu("NVIDIA H200", 143771 * MIB)] * 2


def test_memory_that_is_the_hosts_own_is_not_taken_for_a_gpus() -> None:
    assert tools(nvidia="Orin (nvgpu), [N/A]\n") == []


@pytest.mark.parametrize("wrapped", [False, True])
def test_amds_tool_is_asked_where_nvidias_finds_nothing(wrapped: bool) -> None:
    gpu = {
        "gpu": 0,
        "asic": {"market_name": "AMD Instinct MI300X OAM"},
        "vram": {"type": "HBM", "size": {"value": 196592, "unit": "MB"}},
    }
    document = {"gpu_data": [gpu]} if wrapped else [gpu]
    found = tools(amd=json.dumps(document))
    assert found == [FoundGpu("AMD Instinct MI300X OAM", 196592 * MIB)]


@pytest.mark.parametrize("text", ["", "no devices", "[]", '[{"gpu": 0}]'])
def test_no_gpu_is_made_up(text: str) -> None:
    assert parse_amd(text) == []


def test_without_either_tool_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_gpus() == []


@pytest.mark.parametrize(
    ("name", "mib", "count", "shape"),
    [
        ("NVIDIA H200", 143771, 8, "8xh200"),
        ("NVIDIA H100 80GB HBM3", 81559, 8, "8xh100"),
        ("NVIDIA A100-SXM4-80GB", 81920, 8, "8xa100-80"),
        ("NVIDIA A100-SXM4-40GB", 40960, 1, "1xa100-40"),
        ("NVIDIA H20", 97871, 8, "8xh20-96"),
        ("NVIDIA H20-3e", 143771, 8, "8xh20-141"),
        ("NVIDIA B200", 183359, 8, "8xb200"),
        ("NVIDIA L4", 23034, 1, "1xl4"),
        ("NVIDIA L40S", 46068, 8, "8xl40s"),
        ("Tesla T4", 15360, 1, "1xt4"),
        ("NVIDIA GeForce RTX 4090", 24564, 1, "rtx4090"),
        ("AMD Instinct MI300X OAM", 196592, 8, "8xmi300x"),
    ],
)
def test_gpus_are_known_by_name_and_memory(name: str, mib: int, count: int, shape: str) -> None:
    assert match([FoundGpu(name, mib * MIB)] * count, MACHINES).id == shape


def test_a_number_that_no_shape_has_is_cut_from_a_larger_one() -> None:
    machine = match([FoundGpu("NVIDIA H200", 143771 * MIB)] * 3, MACHINES)
    assert (machine.id, machine.gpus) == ("3xh200", 3)
    assert machine.link_within_node_gb_s == Machine.load("8xh200").link_within_node_gb_s


@pytest.mark.parametrize(
    "found",
    [
        [FoundGpu("NVIDIA GeForce GT 710", 2048 * MIB)],
        [FoundGpu("NVIDIA H200", 143771 * MIB), FoundGpu("NVIDIA L4", 23034 * MIB)],
        [FoundGpu("NVIDIA H100 80GB HBM3", 40000 * MIB)],
        [FoundGpu("NVIDIA H200", 143771 * MIB)] * 9,
    ],
)
def test_what_no_shape_describes_is_named_with_the_mend(found: list[FoundGpu]) -> None:
    with pytest.raises(UnknownMachine, match="give --hardware") as caught:
        match(found, MACHINES)
    assert all(gpu.name in str(caught.value) for gpu in found)
