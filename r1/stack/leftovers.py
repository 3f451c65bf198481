"""What a stack has left, without its supervisor to ask: by marker, and for the store by folder.

Redis writes its title over its environment, so its marker can't be read; but it works in the
stack's own folder, where nobody else does.
"""

import os
from pathlib import Path

from r1.stack.home import Home
from r1.stack.plan import StackPlan
from r1.stack.processes import PROC, all_pids, is_running, marked


def working_in(folder: Path, proc: Path = PROC) -> list[int]:
    """Return the pids of the processes whose working directory is `folder`."""
    found = []
    for pid in all_pids(proc):
        try:
            if os.readlink(proc / str(pid) / "cwd") == str(folder.resolve()):
                found.append(pid)
        except OSError:
            continue
    return found


def leftovers(plan: StackPlan) -> list[int]:
    """Return the pids of a stack's processes that run, this one left out.

    A shell that somebody opened in the store's folder isn't the stack's: only redis counts there.
    """
    store = Home(Path(plan.home)).store
    redis = [pid for pid in working_in(store) if _is_redis(pid)]
    found = {*marked(plan.marker), *redis} - {os.getpid()}
    return sorted(pid for pid in found if is_running(pid))


def _is_redis(pid: int) -> bool:
    try:
        return (PROC / str(pid) / "comm").read_text().startswith("redis-server")
    except OSError:
        return False
