"""The keeper: the parent of one command, which ends whatever that command leaves behind.

    python -m r1.stack.keeper OWNER TEMP HANDLE COMMAND…

It lives in a session of its own, so that what ends its owner, Ctrl-C or `kill -9` of a process
group, does not reach it; when the owner is gone the kernel tells it, and it ends the command. The
command's processes have TEMP as their temporary folder, and the keeper's MARKER in their
environment.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from r1.stack.home import engine_folders
from r1.stack.processes import (
    become_subreaper,
    descendants,
    die_with_parent,
    end_all,
    marked,
    remove,
    shared_files,
)

MARKER = "R1_KEPT"
GRACE_S = 2.0
POLL_S = 0.2
LOOK_EVERY_S = 2.0


def keep(owner: int, temp_dir: Path, handle: int, command: Sequence[str]) -> int:
    """Run a command to its end, or to the owner's, and clean up; return its exit status.

    Args:
        owner: pid of the parent; if it is another one already, nothing is started.
        temp_dir: removed in the end.
        handle: a file descriptor that the command inherits, and nobody else.
        command: what to run.
    """
    stop = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    die_with_parent(signal.SIGTERM)
    become_subreaper()
    opened: set[Path] = set()
    code: int | None = None

    def left() -> list[int]:
        return sorted({*descendants(os.getpid()), *marked(f"{MARKER}={os.environ[MARKER]}")})

    if os.getppid() == owner:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **engine_folders(str(temp_dir))},
            pass_fds=(handle,),
            preexec_fn=die_with_parent,
        )
        os.close(handle)
        looked = time.monotonic()
        while code is None and not stop:
            try:
                code = child.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() - looked > LOOK_EVERY_S:
                    # What one of them leaves that ends before the others can't be known later.
                    opened |= shared_files(left())
                    looked = time.monotonic()
    opened |= shared_files(left())
    stubborn = end_all(left, GRACE_S)
    remove(opened)
    shutil.rmtree(temp_dir, ignore_errors=True)
    return code if code is not None and not stubborn else 1


def sweep(marker: str, folders: Path) -> None:
    """End all processes with a marker, keepers among them, and remove their temporary folders.

    Args:
        marker: that of `kept`.
        folders: where their temporary folders are.
    """
    end_all(lambda: marked(f"{MARKER}={marker}"), GRACE_S)
    for note in folders.glob(f"*/{marker}"):
        if note.stat().st_uid == os.getuid():
            shutil.rmtree(note.parent, ignore_errors=True)


@contextlib.contextmanager
def kept(
    command: Callable[[int], Sequence[str]], *, temp_dir: Path, log: Path, marker: str
) -> Iterator[int]:
    """Run a command under a keeper; nothing of it is left afterwards.

    Args:
        command: from the file descriptor that it is to write to.
        temp_dir: its temporary folder, which goes with it.
        log: gets what it and its processes print.
        marker: by which `sweep` finds its processes, should keeper and owner both be killed.

    Yields:
        The file descriptor to read what it writes.
    """
    # Should keeper and owner both be killed, this tells whose folder it is.
    (temp_dir / marker).touch()
    reading, writing = os.pipe()
    keeper = [sys.executable, "-m", "r1.stack.keeper", str(os.getpid()), str(temp_dir)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*keeper, str(writing), *command(writing)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            pass_fds=(writing,),
            start_new_session=True,
            env={**os.environ, MARKER: marker},
        )
    os.close(writing)
    try:
        yield reading
    finally:
        process.terminate()
        process.wait()
        os.close(reading)
        sweep(marker, temp_dir.parent)


def main() -> int:
    """Read the command line and keep."""
    owner, temp_dir, handle, *command = sys.argv[1:]
    return keep(int(owner), Path(temp_dir), int(handle), command)


if __name__ == "__main__":
    sys.exit(main())
