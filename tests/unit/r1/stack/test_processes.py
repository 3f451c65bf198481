import os
import signal
from pathlib import Path

import pytest

from r1.stack.processes import (
    descendants,
    end_all,
    is_running,
    marked,
    name_of,
    remove,
    shared_files,
    start_time,
)
from tests.unit.r1.stack.proc_files import add_process


def test_descendants_are_found_through_every_generation(tmp_path: Path) -> None:
    for pid, parent in ((10, 1), (11, 10), (12, 11), (13, 10), (20, 1)):
        add_process(tmp_path, pid, parent)
    assert descendants(10, tmp_path) == [11, 13, 12]


def test_a_name_with_spaces_and_brackets_does_not_shift_the_fields(tmp_path: Path) -> None:
    add_process(tmp_path, 10, 1)
    add_process(tmp_path, 11, 10, name="ray::Serve (x) y", started=42)
    assert descendants(10, tmp_path) == [11]
    assert start_time(11, tmp_path) == 42


def test_the_marker_is_found_as_a_whole_variable_only(tmp_path: Path) -> None:
    add_process(tmp_path, 10, 1, environment=("A=b", "R1_STACK_ID=20000-ab"))
    add_process(tmp_path, 11, 1, environment=("R1_STACK_ID=20000-abc",))
    add_process(tmp_path, 12, 1, environment=("X=R1_STACK_ID=20000-ab",))
    assert marked("R1_STACK_ID=20000-ab", tmp_path) == [10]


def test_a_process_is_never_found_by_its_own_marker(tmp_path: Path) -> None:
    add_process(tmp_path, os.getpid(), 1, environment=("R1_STACK_ID=x",))
    assert marked("R1_STACK_ID=x", tmp_path) == []


def test_zombies_and_reused_pids_do_not_run(tmp_path: Path) -> None:
    add_process(tmp_path, 10, 1, state="Z")
    add_process(tmp_path, 11, 1, started=7)
    assert not is_running(10, proc=tmp_path)
    assert is_running(11, 7, tmp_path)
    assert not is_running(11, 8, tmp_path)
    assert not is_running(12, proc=tmp_path)


def test_a_process_is_named_by_its_command_line(tmp_path: Path) -> None:
    add_process(tmp_path, 10, 1, name="redis-server")
    assert name_of(10, tmp_path) == "redis-server --flag"
    assert name_of(99, tmp_path) == "?"


class Machine:
    """Processes that end a number of rounds after a signal, or only by SIGKILL."""

    def __init__(self, stubborn: set[int], polite: set[int]) -> None:
        self.alive = stubborn | polite
        self._polite = polite
        self.now = 0.0
        self.sent: list[tuple[int, int]] = []

    def kill(self, pid: int, number: int) -> None:
        self.sent.append((pid, number))
        if number == signal.SIGKILL or pid in self._polite:
            self.alive.discard(pid)

    def find(self) -> list[int]:
        return sorted(self.alive)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(stubborn={2}, polite={1})
    monkeypatch.setattr("r1.stack.processes.os.kill", made.kill)
    monkeypatch.setattr("r1.stack.processes.is_running", lambda pid: pid in made.alive)
    return made


def test_all_are_asked_first_and_the_stubborn_killed_after_the_grace(machine: Machine) -> None:
    left = end_all(machine.find, grace_s=1.0, clock=machine.clock, sleep=machine.sleep)
    assert left == []
    assert machine.sent == [(1, signal.SIGTERM), (2, signal.SIGTERM), (2, signal.SIGKILL)]
    assert machine.now >= 1.0


def test_what_appears_while_ending_is_ended_too(machine: Machine) -> None:
    def find() -> list[int]:
        if machine.now > 0.5 and not any(pid == 3 for pid, _ in machine.sent):
            machine.alive.add(3)
        return machine.find()

    assert end_all(find, grace_s=1.0, clock=machine.clock, sleep=machine.sleep) == []
    assert (3, signal.SIGTERM) in machine.sent


def test_what_the_kernel_keeps_is_reported(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r1.stack.processes.os.kill", lambda pid, number: None)
    left = end_all(machine.find, 1.0, limit_s=3.0, clock=machine.clock, sleep=machine.sleep)
    assert left == [1, 2]


def test_the_shared_memory_of_a_process_is_found(tmp_path: Path) -> None:
    semaphore, queue, other = (tmp_path / name for name in ("sem.mp-abc", "psm_1a2b", "psm_3c4d"))
    for file in (semaphore, queue, other):
        file.touch()
    (tmp_path / "7").mkdir()
    # A semaphore is mapped under a passing name; an inode means nothing on another filesystem.
    (tmp_path / "7" / "maps").write_text(
        f"7f00-7f01 rw-s 00000000 00:19 {semaphore.stat().st_ino}    /dev/shm/sem.xyz (deleted)\n"
        f"7f02-7f03 rw-s 00000000 00:19 {queue.stat().st_ino}    /dev/shm/psm_1a2b\n"
        f"7f04-7f05 r-xp 00000000 08:01 {other.stat().st_ino}    /usr/lib/libc.so.6\n"
    )
    assert shared_files([7, 8], tmp_path, tmp_path) == {semaphore, queue}


def test_removing_what_is_gone_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    remove([tmp_path / "here", tmp_path / "gone"])
    assert not list(tmp_path.iterdir())
