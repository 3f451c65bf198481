"""Runs a command and fails if it leaves a process, a port or a temporary folder behind.

    python3 scripts/contained.py COMMAND [ARGUMENT…]

Every orphan among the command's descendants is handed to this process by the kernel (it is a
"child subreaper", prctl(2)), so what is still there when the command has ended was started by it,
whatever name it gave itself. The command gets a TMPDIR of its own. Processes that have been told
to end have R1_GRACE_S seconds for it (10). Linux, standard library only.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
# Not left by mistake: PyTorch's cache of compiled kernels, and what pytest keeps of failed tests.
# A stack removes the shared memory of its engines; but 32-byte semaphores of an engine that a test
# kills with -9 just after it made them were never seen, and nobody else can tell whose they are.
KEPT = ("torchinductor_", "pytest-of-", "sem.mp-")
TCP_LISTEN = "0A"


def parents(proc: Path) -> dict[int, int]:
    """Return {pid: parent's pid} of all processes; `proc` is /proc."""
    found: dict[int, int] = {}
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # it ended meanwhile
            continue
        # The second field, the name in brackets, may itself hold blanks and brackets.
        state, parent = stat.rpartition(")")[2].split()[:2]
        if state != "Z":
            found[int(folder.name)] = int(parent)
    return found


def descendants(root: int, parent_of: Mapping[int, int]) -> list[int]:
    """All processes below `root`, parents before children."""
    found: list[int] = []
    todo = [root]
    while todo:
        current = todo.pop(0)
        children = sorted(pid for pid, parent in parent_of.items() if parent == current)
        found += children
        todo += children
    return found


def listening(pid: int, proc: Path) -> list[int]:
    """TCP ports that process `pid` listens on."""
    sockets: set[str] = set()
    try:
        for link in (proc / str(pid) / "fd").iterdir():
            target = os.readlink(link)
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    except OSError:  # it ended meanwhile
        return []
    ports: set[int] = set()
    for table in ("net/tcp", "net/tcp6"):
        if not (proc / table).exists():
            continue
        for line in (proc / table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == TCP_LISTEN and fields[9] in sockets:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return sorted(ports)


def describe(pid: int, proc: Path) -> str:
    """One line about a process: pid, command, ports."""
    try:
        command = (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        command = ""
    ports = ", ".join(str(port) for port in listening(pid, proc))
    return f"process {pid} {command.strip()[:150]}" + (f" (listens on {ports})" if ports else "")


def left_processes(proc: Path, grace_s: float, clock: Callable[[], float]) -> list[int]:
    """Descendants still alive after `grace_s` seconds; reaps those that end meanwhile."""
    deadline = clock() + grace_s
    while True:
        _reap()
        left = descendants(os.getpid(), parents(proc))
        if not left or clock() >= deadline:
            return left
        time.sleep(0.1)


def mapped(proc: Path) -> set[Path]:
    """Files of /dev/shm that a living process has in its memory."""
    found: set[Path] = set()
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            lines = (folder / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:  # it ended meanwhile
            continue
        found |= {Path("/" + line.partition("/")[2]) for line in lines if " /dev/shm/" in line}
    return found


def left_files(folders: Iterable[Path], before: set[Path]) -> list[Path]:
    """Entries of `folders` that are not among `before` and are no cache."""
    return sorted(
        path
        for folder in folders
        if folder.exists()
        for path in folder.iterdir()
        if path not in before and not path.name.startswith(KEPT)
    )


def end(pids: Iterable[int]) -> None:
    """Kill processes by id; those already gone are fine."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _run(command: list[str], temporary: Path) -> int:
    """Run the command to its end, reaping orphans meanwhile; returns its exit status."""
    process = subprocess.Popen(command, env=dict(os.environ) | {"TMPDIR": str(temporary)})
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: os.kill(process.pid, got))
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main(command: list[str]) -> int:
    """Return the command's exit status, or 1 where it left something behind."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    proc = Path("/proc")
    grace_s = float(os.environ.get("R1_GRACE_S", "10"))
    # A short path: Ray puts Unix sockets below it, whose names end at 107 characters.
    temporary = Path(tempfile.mkdtemp(prefix="r1-", dir="/tmp"))
    # Shared memory of engines, and where Ray works if nobody tells it otherwise.
    watched = (temporary, Path("/dev/shm"), Path("/tmp/ray"))  # noqa: S108
    before = {path for folder in watched if folder.exists() for path in folder.iterdir()}
    code = _run(command, temporary)
    processes = left_processes(proc, grace_s, time.monotonic)
    found = [describe(pid, proc) for pid in processes]
    end(processes)
    # The command's processes have ended: shared memory still in use is another program's.
    found += [f"file {path}" for path in left_files(watched, before | mapped(proc))]
    shutil.rmtree(temporary, ignore_errors=True)
    for line in found:
        print(f"left behind: {line}", flush=True)
    return code or (1 if found else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
