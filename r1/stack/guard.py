"""The guard: the supervisor's parent, which ends whatever the supervisor leaves behind.

Even a supervisor that is killed with -9 must leave no engine, no HAProxy and no port behind. Its
orphans become the guard's children, because the guard is their nearest living reaper; and should
the guard be killed, the supervisor is told by the kernel and ends the stack itself.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from r1.stack.home import Home
from r1.stack.leftovers import leftovers
from r1.stack.plan import MARKER, StackPlan
from r1.stack.processes import (
    become_subreaper,
    descendants,
    die_with_parent,
    end_all,
    remove,
    shared_files,
)
from r1.stack.status import load

GRACE_S = 2.0
# Tells the supervisor who its guard is: one that started after its guard died must not run.
GUARD_VARIABLE = "R1_GUARD_PID"


def lock(home: Home) -> int | None:
    """Take the home's lock; return its handle, or None if another guard has it."""
    handle = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def keep_ray_logs(temp_dir: Path, home: Home) -> None:
    """Keep the last run's Ray logs: they say why a head or a worker died."""
    logs = temp_dir / "session_latest" / "logs"
    if logs.is_dir():
        shutil.rmtree(home.logs / "ray", ignore_errors=True)
        shutil.copytree(logs, home.logs / "ray", ignore=shutil.ignore_patterns("*.sock", "old"))


def guard(home: Home, supervisor_command: Sequence[str]) -> int:
    """Run the supervisor of a home and clean up after it; return its exit status."""
    plan = StackPlan.load(home)
    if plan.foreground_pid is not None:
        die_with_parent(signal.SIGTERM)
        if os.getppid() != plan.foreground_pid:
            return 1
    become_subreaper()
    asked = False
    supervisor: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        if supervisor is not None:
            supervisor.terminate()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    with home.log("supervisor").open("ab", buffering=0) as log:
        supervisor = subprocess.Popen(
            [*supervisor_command, str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, MARKER: plan.stack_id, GUARD_VARIABLE: str(os.getpid())},
        )
    if asked:
        # It came before there was anybody to tell.
        supervisor.terminate()
    code = supervisor.wait()

    def left() -> list[int]:
        return sorted({*descendants(os.getpid()), *leftovers(plan)})

    orphans = left()
    opened = shared_files(orphans)
    stubborn = end_all(left, GRACE_S)
    remove(opened)
    status = load(home)
    if status is None or status.state not in ("stopped", "failed"):
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        sentence = f"the supervisor ended {how} (log: {home.log('supervisor')})"
        with home.progress.open("a", encoding="utf-8") as stream:
            stream.write(f"{sentence}; the guard ended the {len(orphans)} processes it left\n")
        if status is not None:
            status.state, status.message = "failed", sentence
            status.save(home)
    keep_ray_logs(Path(plan.temp_dir), home)
    shutil.rmtree(plan.temp_dir, ignore_errors=True)
    return 1 if stubborn else code


def main() -> int:
    """`python -m r1.stack.guard HOME`: what `r1 up` starts."""
    home = Home(Path(sys.argv[1]))
    handle = lock(home)
    if handle is None:
        return 3
    return guard(home, (sys.executable, "-m", "r1.stack.run"))


if __name__ == "__main__":
    sys.exit(main())
