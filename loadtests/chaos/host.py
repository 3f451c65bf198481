"""Faults of the machine that a gateway runs on: its disk, its clock, its memory."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.chaos.faults import Common
from loadtests.chaos.stage import faketime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.chaos.stage import Stage

_FILLER = "filler"
_GROUPS = Path("/sys/fs/cgroup/memory")
_LIMIT = "memory.limit_in_bytes"


@dataclass
class DiskFull(Common):
    """Not a byte more can be written where gateway and Redis have their files and logs."""

    name: str = "disk full"

    def missing(self, stage: Stage) -> str | None:
        """It needs a small disk of its own."""
        return stage.room.reason

    def begin(self, stage: Stage) -> None:
        """Fill it, and give the gateway something to count and to log."""
        with (stage.disk / _FILLER).open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        stage.wires["engine-0"].reset_all()

    def end(self, stage: Stage) -> None:
        """Make room."""
        (stage.disk / _FILLER).unlink(missing_ok=True)


@dataclass
class ClockJump(Common):
    """The gateway's wall clock jumps; monotonic clocks go on, as they do on real machines."""

    by_s: int = 3600

    def missing(self, stage: Stage) -> str | None:
        """It needs libfaketime."""
        if faketime() is None:
            return "needs the Debian package libfaketime"
        return None if stage.served.clocked else "its processes can't sleep under libfaketime"

    def begin(self, stage: Stage) -> None:
        """Jump."""
        stage.clock.write_text(f"{self.by_s:+d}\n", "utf-8")

    def end(self, stage: Stage) -> None:
        """Jump back."""
        stage.clock.write_text("+0\n", "utf-8")


@dataclass
class LittleMemory(Common):
    """The gateway may have no more memory than it has, but for a little."""

    name: str = "memory pressure"
    hold_s: float = 10.0
    spare_bytes: int = 4 << 20

    def missing(self, stage: Stage) -> str | None:
        """It needs a control group."""
        return None if stage.group else "needs root and a control group for memory (version 1)"

    def begin(self, stage: Stage) -> None:
        """Set the limit."""
        if stage.group is not None:
            used = int((stage.group / "memory.usage_in_bytes").read_text())
            (stage.group / _LIMIT).write_text(str(used + self.spare_bytes))

    def end(self, stage: Stage) -> None:
        """Lift it."""
        if stage.group is not None:
            (stage.group / _LIMIT).write_text("-1")


@contextlib.contextmanager
def memory_group() -> Iterator[Path | None]:
    """A control group for memory of this command's own; None where there can be none."""
    group = _GROUPS / f"r1-chaos-{os.getpid()}"
    if not (_GROUPS / _LIMIT).exists() or not os.access(_GROUPS, os.W_OK):
        yield None
        return
    group.mkdir()
    try:
        yield group
    finally:
        group.rmdir()
