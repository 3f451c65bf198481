"""How much of its memory this node, or this container, uses."""

from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def memory_used(cgroups: Path = CGROUPS, own: Path = OWN_CGROUP) -> float:
    """Return the share of memory in use, 0 to 1 (a container may be a little above 1).

    A container that has a limit below the machine's memory reaches that first. Files that can be
    dropped from memory at once count as free, as the kernel counts them for the machine.
    """
    machine = psutil.virtual_memory()
    limited = _limited(cgroups, own, machine.total)
    return limited if limited is not None else 1 - machine.available / machine.total


def _limited(cgroups: Path, own: Path, total: int) -> float | None:
    """The share of the tightest limit of control groups (version 2) around this process."""
    tightest: tuple[int, float] | None = None
    for folder in _around(cgroups, own):
        try:
            limit = (folder / "memory.max").read_text().strip()
            current = int((folder / "memory.current").read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
            details = dict(line.split() for line in lines)
        except (OSError, ValueError):  # the root has no limit, version 1 other files
            continue
        if not limit.isdecimal() or not 0 < int(limit) < total:
            continue
        used = (current - int(details.get("inactive_file", 0))) / int(limit)
        if tightest is None or int(limit) < tightest[0]:
            tightest = (int(limit), max(0.0, used))
    return None if tightest is None else tightest[1]


def _around(cgroups: Path, own: Path) -> list[Path]:
    """This process's control group and those around it."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    names = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    if not names:
        return []
    folder = cgroups / names[0].lstrip("/")
    inside = [each for each in (folder, *folder.parents) if each.is_relative_to(cgroups)]
    return inside or [cgroups]
