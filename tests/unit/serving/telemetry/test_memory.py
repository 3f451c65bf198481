from pathlib import Path

import psutil
import pytest

from serving.telemetry.memory import memory_used

MIB = 2**20


def group(root: Path, name: str, limit: str, current: int, inactive: int = 0) -> None:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\nslab 2\n")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "self"
    path.write_text("0::/kubepods/pod1/box\n")
    return path


def test_a_containers_limit_wins(tmp_path: Path, own: Path) -> None:
    root = tmp_path / "cgroup"
    group(root, "kubepods/pod1/box", str(100 * MIB), current=90 * MIB, inactive=40 * MIB)
    assert memory_used(root, own) == 0.5


def test_the_tightest_limit_around_it_counts(tmp_path: Path, own: Path) -> None:
    root = tmp_path / "cgroup"
    group(root, "kubepods/pod1/box", str(200 * MIB), current=50 * MIB)
    group(root, "kubepods/pod1", str(100 * MIB), current=60 * MIB)
    group(root, "kubepods", "max", current=999 * MIB)
    assert memory_used(root, own) == pytest.approx(0.6)


def test_a_container_sees_itself_as_the_root(tmp_path: Path) -> None:
    own = tmp_path / "self"
    own.write_text("0::/\n")
    root = tmp_path / "cgroup"
    group(root, ".", str(100 * MIB), current=25 * MIB)
    assert memory_used(root, own) == 0.25


@pytest.mark.parametrize("limit", ["max", str(2**60), "0", "?"])
def test_without_a_limit_the_machine_counts(tmp_path: Path, own: Path, limit: str) -> None:
    root = tmp_path / "cgroup"
    group(root, "kubepods/pod1/box", limit, current=90 * MIB)
    machine = psutil.virtual_memory()
    assert memory_used(root, own) == pytest.approx(1 - machine.available / machine.total, abs=0.2)


def test_the_first_version_of_control_groups_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "self"
    own.write_text("4:memory:/docker/x\n")
    assert 0 < memory_used(tmp_path, own) < 1
    assert 0 < memory_used(tmp_path, tmp_path / "missing") < 1
