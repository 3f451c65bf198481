"""Child processes: started in groups of their own, and all ended at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from loadtests.chaos.room import die_with_parent
from loadtests.gateways.targets import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ENDS_S = 15.0


@dataclass
class Child:
    """A process and all below it."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Of the first one."""
        return self.process.pid

    def tree(self) -> list[psutil.Process]:
        """Those that run now, the first one first."""
        try:
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def send(self, number: signal.Signals) -> None:
        """A signal to all of them."""
        for each in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def kill(self) -> None:
        """End all of them at once."""
        self.send(signal.SIGKILL)
        self.process.wait()


@dataclass
class Keeper:
    """Starts processes, and ends what is left of them."""

    folder: Path
    _children: list[Child] = field(default_factory=list)

    def spawn(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        *,
        group: Path | None = None,
    ) -> Child:
        """A process whose output goes to a file of its name; `group` is a control group."""

        def prepare() -> None:
            die_with_parent()
            if group is not None:
                (group / "cgroup.procs").write_text("0")

        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
                preexec_fn=prepare,
            )
        child = Child(process)
        self._children.append(child)
        return child

    def end(self, child: Child) -> None:
        """Ask a process to end, and kill what stays of its tree."""
        below = child.tree()
        child.send(signal.SIGCONT)
        child.process.terminate()
        try:
            child.process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        for each in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        if child in self._children:
            self._children.remove(child)

    def close(self) -> None:
        """End all, the newest first."""
        for child in reversed(self._children.copy()):
            self.end(child)
