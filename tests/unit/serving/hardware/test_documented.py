"""The machines that docs/operations.md shows are machines."""

import re
from pathlib import Path

import yaml

from serving.hardware import Machine

PAGE = Path(__file__).resolve().parents[4] / "docs" / "operations.md"


def blocks() -> list[str]:
    section = PAGE.read_text("utf-8").split("### Your own machine")[1].split("\n## ")[0]
    return re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)


def test_the_documented_machine_loads(tmp_path: Path) -> None:
    path = tmp_path / "office.yaml"
    path.write_text(blocks()[0], encoding="utf-8")
    machine = Machine.load(path)
    assert (machine.id, machine.gpus) == ("office", 2)
    assert machine.gpu is not None
    assert machine.gpu.id == "rtx4090"


def test_the_documented_gpu_loads(tmp_path: Path) -> None:
    machine = {"id": "mine", "title": "mine", "gpus_per_node": 1, **yaml.safe_load(blocks()[1])}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(machine), encoding="utf-8")
    gpu = Machine.load(path).gpu
    assert gpu is not None
    assert gpu.tflops.of("fp8") == 522.2
