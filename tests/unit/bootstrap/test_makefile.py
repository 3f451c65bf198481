"""`make up` hands arguments and signals to r1 itself and leaves no process."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.bootstrap.stamp import Stamp, digest

ROOT = Path(__file__).parents[3]

# Stands for r1: says its arguments and its pid, and which signal ended it.
R1 = """#!{python}
import os, signal, sys, time
def ended(number, frame):
    print("ended by", signal.Signals(number).name, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, ended)
signal.signal(signal.SIGINT, ended)
print(os.getpid(), *sys.argv[1:], flush=True)
time.sleep(50)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with this project's Makefile and bootstrap and a stand-in for r1."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "cpu.txt").write_text("torch==2.13.0+cpu\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    (binaries / "r1").write_text(R1.format(python=sys.executable))
    (binaries / "r1").chmod(0o755)
    Stamp(
        lock=digest(tmp_path / "locks" / "cpu.txt"),
        pyproject=digest(tmp_path / "pyproject.toml"),
        python="{}.{}".format(*sys.version_info[:2]),
        root=str(tmp_path),
    ).write(tmp_path / ".venv" / "r1-stamp.json")
    return tmp_path


@pytest.fixture
def make_up(checkout: Path) -> Iterator["subprocess.Popen[str]"]:
    """A running `make up`, the leader of a process group of its own as in a terminal."""
    with subprocess.Popen(
        ["make", "up", "ARGS=--port-base 9000 --ep", f"PYTHON={sys.executable}"],
        cwd=checkout,
        # These tests may themselves run under make, which tells its children in these.
        env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(make: "subprocess.Popen[str]") -> str:
    assert make.stdout is not None
    return make.stdout.readline().strip()


def test_arguments_go_through_to_r1(make_up: "subprocess.Popen[str]") -> None:
    assert said(make_up).split()[1:] == ["up", "--port-base", "9000", "--ep"]
    make_up.terminate()
    make_up.communicate(timeout=20)


def test_sigterm_to_make_ends_r1(make_up: "subprocess.Popen[str]") -> None:
    pid = int(said(make_up).split()[0])
    make_up.terminate()
    output, _ = make_up.communicate(timeout=20)
    assert output == "ended by SIGTERM\n"
    assert not Path(f"/proc/{pid}").exists()


def test_ctrl_c_in_a_terminal_ends_r1(make_up: "subprocess.Popen[str]") -> None:
    pid = int(said(make_up).split()[0])
    os.killpg(make_up.pid, signal.SIGINT)
    output, _ = make_up.communicate(timeout=20)
    assert output == "ended by SIGINT\n"
    assert not Path(f"/proc/{pid}").exists()


def test_r1_is_makes_own_child_without_a_shell_between(make_up: "subprocess.Popen[str]") -> None:
    pid = int(said(make_up).split()[0])
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[1]) == make_up.pid
    make_up.terminate()
    make_up.communicate(timeout=20)
