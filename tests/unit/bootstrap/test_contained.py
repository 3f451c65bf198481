"""What a command leaves behind is found, told and ended, however it hides."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.contained import descendants, left_files, mapped, parents

CONTAINED = Path(__file__).parents[3] / "scripts" / "contained.py"

# A daemon as engines leave them: a session of its own, its parent gone, another name, no
# environment, a listening port.
DAEMON = """
import os, socket, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
server = socket.create_server(("127.0.0.1", 0))
with open(sys.argv[1] + ".partial", "w") as file:
    file.write(f"{os.getpid()} {server.getsockname()[1]}")
os.rename(sys.argv[1] + ".partial", sys.argv[1])
time.sleep(60)
"""


def contained(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CONTAINED), *command],
        stdin=subprocess.DEVNULL,
        env=dict(os.environ) | {"R1_GRACE_S": "0.5"},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.parametrize("code", [0, 7])
def test_a_clean_command_keeps_its_exit_status(code: int) -> None:
    result = contained("sh", "-c", f"echo said; exit {code}")
    assert (result.returncode, result.stdout) == (code, "said\n")


def test_a_command_ended_by_a_signal_fails_as_in_a_shell() -> None:
    assert contained("sh", "-c", "kill -9 $$").returncode == 137


def test_a_daemon_is_found_with_its_port_and_ended(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    wait = 'python=$1; shift; "$python" -c "$@"; while [ ! -e "$2" ]; do sleep 0.05; done'
    result = contained("sh", "-c", wait, "sh", sys.executable, DAEMON, str(answer))
    pid, port = answer.read_text().split()
    assert result.returncode == 1
    assert f"left behind: process {pid} " in result.stdout
    assert f"(listens on {port})" in result.stdout
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


def test_a_temporary_folder_is_found_and_removed() -> None:
    result = contained("sh", "-c", 'mkdir "$TMPDIR/mine"; echo "$TMPDIR"')
    folder, told = result.stdout.splitlines()
    assert result.returncode == 1
    assert told == f"left behind: file {folder}/mine"
    assert not Path(folder).exists()


def test_caches_that_later_runs_use_are_no_leftover(tmp_path: Path) -> None:
    (tmp_path / "torchinductor_me").mkdir()
    old = tmp_path / "old"
    old.touch()
    (tmp_path / "new").touch()
    assert left_files([tmp_path, tmp_path / "nowhere"], {old}) == [tmp_path / "new"]


def test_shared_memory_in_use_belongs_to_a_living_process(tmp_path: Path) -> None:
    (tmp_path / "10").mkdir()
    (tmp_path / "10" / "maps").write_text(
        "7f00-7f01 rw-s 00000000 00:18 3    /dev/shm/psm_a b\n"
        "7f02-7f03 r-xp 00000000 fe:00 9    /usr/lib/libc.so.6\n"
    )
    (tmp_path / "11").mkdir()
    assert mapped(tmp_path) == {Path("/dev/shm/psm_a b")}


def test_descendants_are_found_at_any_depth_and_no_others() -> None:
    assert descendants(1, {2: 1, 3: 2, 4: 3, 5: 9, 9: 8}) == [2, 3, 4]


def test_parents_reads_names_with_brackets_and_leaves_zombies_out(tmp_path: Path) -> None:
    for pid, text in (("10", "10 (a) b) S 1 0"), ("11", "11 (gone) Z 10 0"), ("x", "")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(text)
    assert parents(tmp_path) == {10: 1}
    assert parents(Path("/proc"))[os.getpid()] == os.getppid()
