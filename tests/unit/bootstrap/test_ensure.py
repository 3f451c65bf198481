"""The environment as a whole: fresh, stale, interrupted, read-only, and two makes at once."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scripts.bootstrap.ensure import Environment, alone, ensure
from scripts.bootstrap.interpreters import Refusal
from scripts.bootstrap.stamp import Action, Stamp, digest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environment is one symbolic link to this Python, freshly stamped."""
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "cpu.txt").write_text("torch==2.13.0+cpu\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    Stamp(
        lock=digest(tmp_path / "locks" / "cpu.txt"),
        pyproject=digest(tmp_path / "pyproject.toml"),
        python="{}.{}".format(*sys.version_info[:2]),
        root=str(tmp_path),
    ).write(tmp_path / ".venv" / "r1-stamp.json")
    return tmp_path


def test_a_fresh_environment_needs_nothing(checkout: Path) -> None:
    assert Environment(checkout).action() is Action.NOTHING
    ensure(checkout)


def test_a_changed_lock_pyproject_or_python_is_seen(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text("[project]\nname = 'r1'\n")
    assert Environment(checkout).action() is Action.REGISTER
    (checkout / "locks" / "cpu.txt").write_text("torch==2.14.0+cpu\n")
    assert Environment(checkout).action() is Action.INSTALL
    (checkout / ".venv" / "bin" / "python").unlink()
    assert Environment(checkout).action() is Action.REBUILD


def test_an_install_that_did_not_end_is_seen_although_the_stamp_is_right(checkout: Path) -> None:
    (checkout / ".venv" / "r1-incomplete").touch()
    assert Environment(checkout).action() is Action.REBUILD


def test_a_failed_install_leaves_no_stamp_and_is_made_anew_next_time(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "locks" / "cpu.txt").write_text("no-such-package==1.0\ntorch==0.0.0+cpu\n")

    def refuse(self: object, version: str) -> None:
        raise Refusal(f"Installing torch {version} failed.")

    monkeypatch.setattr("scripts.bootstrap.pip.Pip.install_torch", refuse)
    environment = Environment(checkout)
    with pytest.raises(Refusal, match=r"torch 0\.0\.0\+cpu"):
        environment.apply(Action.INSTALL)
    assert not (checkout / ".venv" / "r1-stamp.json").exists()
    assert environment.action() is Action.REBUILD


def test_a_disk_that_is_too_full_is_refused_before_anything_is_written(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "locks" / "cpu.txt").write_text("torch==2.14.0+cpu\n")
    monkeypatch.setattr("scripts.bootstrap.checks.free_bytes", lambda folder: 1 << 30)
    with pytest.raises(Refusal, match=r"1\.0 GiB free"):
        ensure(checkout)
    assert (checkout / ".venv" / "r1-stamp.json").exists()


def test_a_checkout_that_cannot_be_written_is_used_while_nothing_is_to_install(
    checkout: Path,
) -> None:
    # A folder in the lock's place is what even root cannot open for writing.
    (checkout / ".venv.lock").mkdir()
    ensure(checkout)
    (checkout / "pyproject.toml").write_text("changed")
    with pytest.raises(Refusal, match=r"Cannot write .*\.venv\.lock"):
        ensure(checkout)


def test_a_machine_without_compiler_is_refused_even_when_the_environment_is_fresh(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(Refusal, match=r"g\+\+ was not found"):
        ensure(checkout)


def test_a_second_make_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from scripts.bootstrap.ensure import alone\n"
        "with alone(Path(sys.argv[1])):\n"
        "    print('in', flush=True); sys.stdin.read()\n"
    )
    entered = threading.Event()

    def second() -> None:
        with alone(tmp_path / "lock"):
            entered.set()

    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "lock")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "in\n"
        waiter = threading.Thread(target=second)
        waiter.start()
        assert not entered.wait(0.3)
        # Killed, not ended: the system gives the lock back all the same.
        first.kill()
        assert entered.wait(10)
        waiter.join(10)


def test_the_command_refuses_in_one_line_and_without_a_traceback(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "scripts.bootstrap"],
        cwd=ROOT,
        env=dict(os.environ) | {"R1_PYTHON": str(tmp_path / "nothing")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        "r1: Python 3.11 or 3.12 is needed (none found): "
        "install one, or name it with R1_PYTHON=/path/to/python.\n"
    )


def test_this_projects_own_environment_is_stamped_with_its_lock() -> None:
    """The tests run where the bootstrap says they do: in `.venv`, made from this lock."""
    stamp = json.loads((Path(sys.prefix) / "r1-stamp.json").read_text())
    assert stamp["lock"] == digest(ROOT / "locks" / "cpu.txt")
