"""Starting a stack's guard, and following its progress until it is ready or has ended."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from r1.stack.home import Home
from r1.stack.leftovers import leftovers
from r1.stack.listeners import taken
from r1.stack.plan import ServedModel, StackPlan
from r1.stack.ports import PortPlan
from r1.stack.processes import end_all
from r1.stack.status import StackStatus, load
from serving.app import LONGEST_ANSWER_S
from serving.catalog import Catalog

NEEDED_BYTES = 500 * 1024 * 1024
# Ray puts HAProxy's socket 77 characters below it, and HAProxy a suffix behind that; a Unix
# socket's path has 107 at most. So in practice it is /tmp/r1-xxxxxxxx.
LONGEST_TEMP_PATH = len("/tmp/r1-xxxxxxxx")  # noqa: S108 - a length
POLL_S = 0.1
# The nano models' context is written in less; any other model gets what the largest one needs.
LONGEST_NANO_ANSWER_S = 600.0


class CantStart(RuntimeError):
    """A reason not to start, in one sentence."""


def check(home: Home, ports: PortPlan) -> None:
    """Check what would make a start fail, before anything is started.

    Leftovers of an earlier stack of this home are ended first.

    Raises:
        CantStart: a stack runs here already, a port is taken, or the disk is full.
    """
    status = load(home)
    if status is not None and status.is_alive():
        raise CantStart(
            f"a stack runs already on port {ports.api} (process {status.supervisor_pid}): "
            "`r1 status` shows it, `r1 down` ends it, --port-base N starts a second one beside it"
        )
    sweep(home)
    free = shutil.disk_usage(home.path.parent if not home.path.exists() else home.path).free
    if free < NEEDED_BYTES:
        raise CantStart(
            f"the disk of {home.path} has {free // 2**20} MiB free, a stack needs "
            f"{NEEDED_BYTES // 2**20}: free some, or set R1_STATE_DIR to a folder elsewhere"
        )
    blocked = taken(ports.single_ports())
    if blocked:
        raise CantStart("\n".join(port.sentence() for port in blocked))


def sweep(home: Home) -> int:
    """End what an earlier stack of this home left; return how many processes there were."""
    try:
        plan = StackPlan.load(home)
    except FileNotFoundError:
        return 0
    left = leftovers(plan)
    if left:
        end_all(lambda: leftovers(plan), grace_s=2.0)
    shutil.rmtree(plan.temp_dir, ignore_errors=True)
    return len(left)


def temp_folder() -> str:
    """Make Ray's folder: short, because Unix sockets' paths are, and closed to other users."""
    base = tempfile.gettempdir()
    if len(base) > LONGEST_TEMP_PATH - len("/r1-xxxxxxxx"):
        base = "/tmp"  # noqa: S108 - mkdtemp makes an unguessable, private folder in it
    return tempfile.mkdtemp(prefix="r1-", dir=base)


def make_plan(
    home: Home,
    ports: PortPlan,
    models: tuple[ServedModel, ...],
    *,
    detach: bool,
    gateway_workers: int,
    drain_s: float,
) -> StackPlan:
    """Make a plan with a fresh id and a fresh folder for Ray, and save it in its home."""
    nano = all(Catalog.load().resolve(model.id).weights.path for model in models)
    longest_answer_s = LONGEST_NANO_ANSWER_S if nano else LONGEST_ANSWER_S
    plan = StackPlan(
        stack_id=f"{ports.base}-{secrets.token_hex(6)}",
        home=str(home.path),
        base=ports.base,
        models=models,
        temp_dir=temp_folder(),
        gateway_workers=gateway_workers,
        longest_answer_s=longest_answer_s,
        drain_s=drain_s,
        foreground_pid=None if detach else os.getpid(),
    )
    plan.save()
    return plan


def start_guard(home: Home) -> "subprocess.Popen[bytes]":
    """Start the guard of a planned stack, in a session of its own."""
    home.progress.write_text("")
    for old in home.logs.glob("*.log"):
        # One earlier run is kept: it may be the one that is being asked about.
        old.replace(old.with_suffix(".log.1"))
    with home.log("supervisor").open("ab", buffering=0) as log:
        return subprocess.Popen(
            [sys.executable, "-m", "r1.stack.guard", str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


class Follower:
    """Prints a home's new progress lines as they come."""

    def __init__(self, path: Path, write: Callable[[str], object]) -> None:
        self._path = path
        self._write = write
        self._read = 0

    def skip(self, keep_lines: int = 0) -> None:
        """Leave out what is there already, but for its last lines."""
        with contextlib.suppress(FileNotFoundError):
            old = self._path.read_bytes()
            kept = old.splitlines(keepends=True)[-keep_lines:] if keep_lines > 0 else []
            self._read = len(old) - sum(len(line) for line in kept)

    def drain(self) -> None:
        """Print what is new, whole lines only."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as stream:
            stream.seek(self._read)
            new = stream.read()
            whole = new.rpartition(b"\n")
            if whole[1]:
                self._read += len(whole[0]) + 1
                self._write(whole[0].decode(errors="replace") + "\n")


def follow_until(
    home: Home,
    guard: "subprocess.Popen[bytes]",
    stack_id: str,
    follower: Follower,
    until: Callable[[StackStatus], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> StackStatus | None:
    """Print progress until the status satisfies `until` or the guard has ended.

    Returns the last status of this stack, or None if its supervisor never wrote one.
    """
    while True:
        ended = guard.poll() is not None
        status = load(home)
        if status is not None and status.stack_id != stack_id:
            status = None
        follower.drain()
        if ended or (status is not None and until(status)):
            return status
        sleep(POLL_S)
