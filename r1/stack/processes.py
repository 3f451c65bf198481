"""Processes as Linux's /proc shows them: whose child, whose socket, and how to end a whole tree.

A killed Ray driver leaves engine cores, workers and HAProxy behind, each in its own session. So a
tree is found in two ways: by parent (a subreaper adopts every orphan of its descendants), and by a
marker in the environment that every descendant inherits.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

PROC = Path("/proc")
SHM = Path("/dev/shm")  # noqa: S108 - where Linux keeps shared memory


class ProcessControlError(OSError):
    """prctl refused: not Linux, or a sandbox forbids it."""


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise ProcessControlError(number, f"prctl({option}): {os.strerror(number)}")


def become_subreaper() -> None:
    """Make this process the parent of every orphan among its descendants."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Have the kernel send `number` to this process when the thread that started it ends."""
    _prctl(PR_SET_PDEATHSIG, number)


def stat_fields(pid: int, proc: Path = PROC) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat after the name (state first), or None if it is gone."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name is in brackets and may hold spaces and brackets itself.
    return text.rpartition(")")[2].split()


def start_time(pid: int, proc: Path = PROC) -> int | None:
    """Return when a process started (clock ticks since boot); tells a reused pid from the first."""
    fields = stat_fields(pid, proc)
    return int(fields[19]) if fields else None


def is_running(pid: int, started: int | None = None, proc: Path = PROC) -> bool:
    """Tell whether a process lives (a zombie doesn't) and, if `started` is given, is that one."""
    fields = stat_fields(pid, proc)
    if not fields or fields[0] in "ZX":
        return False
    return started is None or int(fields[19]) == started


def all_pids(proc: Path = PROC) -> list[int]:
    """Return the pids of all processes."""
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]


def descendants(root: int, proc: Path = PROC) -> list[int]:
    """Return the pids of all children of `root`, their children and so on, nearest first."""
    children: dict[int, list[int]] = {}
    for pid in all_pids(proc):
        fields = stat_fields(pid, proc)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        for child in children.get(queue.pop(0), []):
            found.append(child)
            queue.append(child)
    return found


def marked(marker: str, proc: Path = PROC) -> list[int]:
    """Return the pids whose first environment holds `marker` ("NAME=value"), this one left out."""
    wanted = marker.encode()
    found = []
    for pid in all_pids(proc):
        if pid == os.getpid():
            continue
        try:
            environment = (proc / str(pid) / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            found.append(pid)
    return found


def name_of(pid: int, proc: Path = PROC) -> str:
    """Return a process's command line, cut to 80 characters, or its short name."""
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").split()
        shown = b" ".join(words).decode(errors="replace")[:80]
        return shown or (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        return "?"


def reap_adopted(own: Iterable[int]) -> None:
    """Take away the zombies that this subreaper adopted; `own` are left to their own watcher."""
    mine = set(own)
    for pid in all_pids():
        fields = stat_fields(pid)
        if fields and int(fields[1]) == os.getpid() and fields[0] == "Z" and pid not in mine:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def shared_files(pids: Iterable[int], proc: Path = PROC, shm: Path = SHM) -> set[Path]:
    """Files of /dev/shm that processes have in their memory, which killed processes leave there.

    Engines have queues between their workers, and Python's semaphores. The C library maps a
    semaphore under a name that it takes away again, so files are known by inode.
    """
    inodes: set[str] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (proc / str(pid) / "maps").read_text(errors="replace").splitlines():
                if " /dev/shm/" in line:
                    inodes.add(line.split()[4])
    found = set()
    for file in shm.iterdir() if inodes else ():
        with contextlib.suppress(FileNotFoundError):
            if str(file.stat().st_ino) in inodes:
                found.add(file)
    return found


def remove(files: Iterable[Path]) -> None:
    """Remove files; those that are gone already are no fault."""
    for file in files:
        file.unlink(missing_ok=True)


def end_all(
    find: Callable[[], list[int]],
    grace_s: float,
    limit_s: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[int]:
    """End every process that `find` returns: SIGTERM, after `grace_s` SIGKILL, until none is left.

    Looks again each round, because a dying process may start or orphan others. Returns the pids
    that were still there after `limit_s` seconds (none, unless the kernel can't kill them).
    """
    began = clock()
    told: set[int] = set()
    while True:
        alive = [pid for pid in find() if is_running(pid)]
        if not alive:
            return []
        waited = clock() - began
        if waited > limit_s:
            return alive
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if waited >= grace_s:
                    os.kill(pid, signal.SIGKILL)
                elif pid not in told:
                    told.add(pid)
                    os.kill(pid, signal.SIGTERM)
        reap_adopted(())
        sleep(0.05)
