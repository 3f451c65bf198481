"""The shipped machine shapes, and what their loader refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from serving.documents import read_document
from serving.errors import InvalidDocument, UnknownMachine
from serving.hardware import Figure, Gpu, Machine
from serving.hardware.machine import GPUS, SHIPPED

MACHINES = [Machine.load(each) for each in Machine.ids()]


def document(machine_id: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SHIPPED / f"{machine_id}.yaml").read_text("utf-8"))
    return found


def write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def figures(part: object) -> list[Figure]:
    """Every figure of a document, at any depth."""
    if isinstance(part, Figure):
        return [part]
    inside = [value for _, value in part] if isinstance(part, BaseModel) else []
    return [figure for each in inside for figure in figures(each)]


def gpu(name: str) -> Gpu:
    return read_document(GPUS / f"{name}.yaml", Gpu)


@pytest.mark.parametrize("name", sorted(path.stem for path in GPUS.glob("*.yaml")))
def test_every_gpu_is_whole_and_in_a_shape(name: str) -> None:
    found = gpu(name)
    assert found.id == name
    assert all(figure.source.strip() for figure in figures(found))
    assert len(figures(found)) >= 4
    assert found.bf16_tflops.value > 0
    # Half the bits, twice the work, wherever a type is there at all.
    ladder = [found.tflops.of(each) for each in ("bf16", "fp8", "fp4")]
    present = [value for value in ladder if value is not None]
    assert present == sorted(present)
    assert found in [machine.gpu for machine in MACHINES]


@pytest.mark.parametrize(
    "name", ["t4", "a10", "l4", "l40s", "rtx3060", "rtx3090", "rtx4090", "a40"]
)
def test_cards_of_the_hardware_tables_are_there(name: str) -> None:
    assert gpu(name).memory_gib.value < 48


@pytest.mark.parametrize(
    ("gpu_id", "reported"),
    [
        ("t4", "Tesla T4"),
        ("a10", "NVIDIA A10"),
        ("l4", "NVIDIA L4"),
        ("l40s", "NVIDIA L40S"),
        ("rtx3060", "NVIDIA GeForce RTX 3060"),
        ("rtx3090", "NVIDIA GeForce RTX 3090"),
        ("rtx4090", "NVIDIA GeForce RTX 4090"),
        ("a40", "NVIDIA A40"),
        ("a100-40", "NVIDIA A100-SXM4-40GB"),
        ("a100-80", "NVIDIA A100-SXM4-80GB"),
        ("h20-96", "NVIDIA H20"),
        ("h800", "NVIDIA H800"),
        ("h100", "NVIDIA H100 80GB HBM3"),
        ("h200", "NVIDIA H200"),
        ("b200", "NVIDIA B200"),
        ("gb200", "NVIDIA GB200"),
        ("a10g", "NVIDIA A10G"),
        ("rtx2060", "NVIDIA GeForce RTX 2060"),
        ("rtx5090", "NVIDIA GeForce RTX 5090"),
    ],
)
def test_ray_calls_a_gpu_what_is_asked_for(gpu_id: str, reported: str) -> None:
    # A name that Ray sets on no node would leave a replica waiting for ever.
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager

    named = NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type(reported)
    assert gpu(gpu_id).ray_accelerator_type == named


@pytest.mark.parametrize("name", ["mi300x", "mi325x", "mi355x"])
def test_ray_calls_an_instinct_what_is_asked_for(name: str) -> None:
    from ray._private.accelerators.amd_gpu import amd_product_dict

    assert gpu(name).ray_accelerator_type in amd_product_dict.values()


def test_types_follow_the_generation() -> None:
    assert gpu("t4").tflops.bf16 is None
    assert gpu("t4").bf16_tflops.value == 65
    assert gpu("a100-80").fp8_tflops is None
    assert gpu("h100").tflops.of("fp4") is None
    assert gpu("b200").tflops.of("fp4") == 9000
    assert (gpu("t4").capability, gpu("b200").capability) == ((7, 5), (10, 0))
    assert gpu("mi300x").capability is None


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.id)
def test_every_shipped_shape_is_whole(machine: Machine) -> None:
    assert machine.memory_bytes > 0
    assert machine.is_cpu == (machine.gpus == 0)
    assert all(figure.source.strip() for figure in figures(machine))
    if machine.is_cpu:
        assert machine.processor is not None
        assert machine.processor.bandwidth_gb_s.value > 0


@pytest.mark.parametrize(
    ("machine_id", "gpus", "name"),
    [
        ("8xh200", 8, "H200"),
        ("8xh100", 8, "H100"),
        ("2x8xh100", 16, "H100"),
        ("1xa100-40", 1, "A100"),
        ("1xl4", 1, "L4"),
        ("2x8xa100-80", 16, "A100"),
        ("12x8xh100", 96, "H100"),
        ("18x8xh800", 144, "H800"),
        ("2x8xh20-96", 16, "H20"),
        ("8xh20-141", 8, "H20"),
        ("8xmi300x", 8, "AMD-Instinct-MI300X-OAM"),
        ("gb200-nvl72", 72, "GB200"),
        ("rtx4090", 1, "GeForce-RTX-4090"),
        ("jetson-orin", 1, "Orin"),
    ],
)
def test_gpu_shapes(machine_id: str, gpus: int, name: str) -> None:
    machine = Machine.load(machine_id.upper())
    assert machine.gpus == gpus
    assert machine.gpu is not None
    assert machine.gpu.ray_accelerator_type == name


def test_the_plain_computer_offers_its_own_memory() -> None:
    assert Machine.load("cpu").memory_bytes == 16 * 1024**3


def test_an_unknown_shape_is_answered_with_near_ones() -> None:
    with pytest.raises(UnknownMachine, match=r"`8xh20`; did you mean 8xh200"):
        Machine.load("8xh20")


def test_a_shape_of_ones_own_is_a_file(tmp_path: Path) -> None:
    mine = {**document("cpu"), "id": "big", "host_memory_gib": {"value": 512, "source": "mine"}}
    machine = Machine.load(str(write(tmp_path / "anything.yaml", mine)))
    assert (machine.id, machine.memory_bytes) == ("big", 512 * 1024**3)


def test_a_machine_of_ones_own_names_a_shipped_gpu(tmp_path: Path) -> None:
    link = {"value": 32, "source": "PCI Express 4.0"}
    mine = {"id": "box", "title": "my box", "gpus_per_node": 2, "gpu": "RTX4090"}
    machine = Machine.load(write(tmp_path / "box.yaml", {**mine, "link_within_node_gb_s": link}))
    assert machine.gpu == gpu("rtx4090")
    assert (machine.nodes, machine.gpus, machine.usd_per_hour) == (1, 2, None)


def test_a_machine_of_ones_own_describes_a_gpu(tmp_path: Path) -> None:
    card = yaml.safe_load((GPUS / "l40s.yaml").read_text("utf-8"))
    card |= {"id": "l40s-short", "memory_gib": {"value": 40, "source": "what nvidia-smi says"}}
    mine = {"id": "box", "title": "my box", "gpus_per_node": 1, "gpu": card}
    machine = Machine.load(write(tmp_path / "box.yaml", mine))
    assert machine.memory_bytes == 40 * 1024**3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"vendor": "amd"}, "compute_capability: give it for NVIDIA"),
        ({"compute_capability": "9"}, "gpu.compute_capability: "),
        ({"compute_capability": None}, "compute_capability: give it for NVIDIA"),
        ({"gfx": "gfx942"}, "gfx: give it for AMD"),
        ({"tflops": {"bf16": {"value": 1, "source": "x"}}}, "gpu.tflops.fp16: is missing"),
        ({"bandwidth_gb_s": {"value": 1, "source": ""}}, "gpu.bandwidth_gb_s.source: "),
        ({"bandwith_gb_s": 1}, "did you mean bandwidth_gb_s"),
    ],
)
def test_a_wrong_gpu_is_named(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    card = yaml.safe_load((GPUS / "l40s.yaml").read_text("utf-8")) | change
    mine = {"id": "box", "title": "my box", "gpus_per_node": 1, "gpu": card}
    with pytest.raises(InvalidDocument) as caught:
        Machine.load(write(tmp_path / "box.yaml", mine))
    assert sentence in str(caught.value)


def test_an_unknown_gpu_is_answered_with_near_ones(tmp_path: Path) -> None:
    mine = {**document("8xh200"), "gpu": "h20"}
    with pytest.raises(InvalidDocument, match=r"gpu: no GPU is called `h20`; did you mean h20"):
        Machine.load(write(tmp_path / "mine.yaml", mine))


def test_a_shipped_file_is_named_after_its_id(tmp_path: Path) -> None:
    write(tmp_path / "wrong.yaml", document("cpu"))
    with pytest.raises(InvalidDocument, match=r"call the file cpu\.yaml"):
        Machine.load("wrong", tmp_path)


@pytest.mark.parametrize(
    ("machine_id", "change", "sentence"),
    [
        ("8xh200", {"gpu": None}, "gpu: describe it"),
        ("cpu", {"gpus_per_node": 1}, "gpu: describe it"),
        ("cpu", {"host_memory_gib": None}, "host_memory_gib: is needed"),
        ("8xh200", {"link_within_node_gb_s": None}, "link_within_node_gb_s: give it"),
        ("2x8xh100", {"link_between_nodes_gb_s": None}, "link_between_nodes_gb_s: give it"),
        ("cpu", {"host_memory_gib": {"value": 16}}, "host_memory_gib.source: is missing"),
        ("cpu", {"host_memory_gib": {"value": 0, "source": "x"}}, "host_memory_gib.value: "),
        ("cpu", {"nodes": 0}, "nodes: "),
        ("cpu", {"processor": {"name": "x"}}, "processor.cores: is missing"),
        ("8xh200", {"usd_per_hour": {"value": -1, "source": "x"}}, "usd_per_hour.value: "),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, machine_id: str, change: dict[str, Any], sentence: str
) -> None:
    path = write(tmp_path / "mine.yaml", {**document(machine_id), **change})
    with pytest.raises(InvalidDocument) as caught:
        Machine.load(path)
    assert sentence in str(caught.value)
