"""The shipped machine shapes, and what their loader refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.errors import InvalidDocument, UnknownMachine
from serving.hardware import Machine
from serving.hardware.machine import SHIPPED


def document(machine_id: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SHIPPED / f"{machine_id}.yaml").read_text("utf-8"))
    return found


def write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@pytest.mark.parametrize("machine_id", Machine.ids())
def test_every_shipped_shape_loads(machine_id: str) -> None:
    machine = Machine.load(machine_id)
    assert machine.id == machine_id
    assert machine.memory_bytes > 0
    assert machine.is_cpu == (machine.gpus == 0)


@pytest.mark.parametrize(
    ("machine_id", "gpus", "name"),
    [
        ("8xh200", 8, "H200"),
        ("8xh100", 8, "H100"),
        ("2x8xh100", 16, "H100"),
        ("1xa100-40", 1, "A100-40G"),
        ("1xl4", 1, "L4"),
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
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, machine_id: str, change: dict[str, Any], sentence: str
) -> None:
    path = write(tmp_path / "mine.yaml", {**document(machine_id), **change})
    with pytest.raises(InvalidDocument) as caught:
        Machine.load(path)
    assert sentence in str(caught.value)
