"""What a stack is: its parts and their states, in a file that `r1 status` reads."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from r1.stack.home import Home, write_private
from r1.stack.processes import is_running

PartState = Literal["waiting", "starting", "ready", "restarting", "failed", "stopped"]
StackState = Literal["starting", "ready", "degraded", "stopping", "stopped", "failed"]


@dataclass
class PartStatus:
    """One part: a process of the supervisor's (with a pid), or a model in the model plane."""

    state: PartState = "waiting"
    pid: int | None = None
    ready_after_s: float | None = None
    restarts: int = 0
    message: str = ""
    log: str = ""
    replicas: str = ""
    """Of a model: what its replicas do, in words."""


@dataclass
class StackStatus:
    """The whole stack."""

    base: int
    stack_id: str
    state: StackState = "starting"
    message: str = ""
    supervisor_pid: int = 0
    supervisor_started: int = 0
    guard_pid: int = 0
    began: float = field(default_factory=time.time)
    ready_after_s: float | None = None
    key_created: bool = False
    parts: dict[str, PartStatus] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)

    def save(self, home: Home) -> None:
        """Write the status, whole or not at all."""
        write_private(home.status, json.dumps(asdict(self), indent=1))

    def is_alive(self, alive: Callable[[int, int], bool] = is_running) -> bool:
        """Tell whether the supervisor that wrote this still runs."""
        return self.supervisor_pid > 0 and alive(self.supervisor_pid, self.supervisor_started)

    def not_ready(self) -> list[str]:
        """Return the names of the parts that are being waited for."""
        return [name for name, part in self.parts.items() if part.state != "ready"]


def load(home: Home) -> StackStatus | None:
    """Return the status in a home, or None if no stack ever ran there."""
    try:
        fields = json.loads(home.status.read_text())
    except FileNotFoundError:
        return None
    fields["parts"] = {name: PartStatus(**part) for name, part in fields["parts"].items()}
    return StackStatus(**fields)


def running_bases(root: Path) -> list[int]:
    """Return the port bases of the stacks of this user that run, lowest first."""
    bases = []
    if root.is_dir():
        for folder in root.iterdir():
            status = load(Home(folder)) if folder.name.isdigit() else None
            if status is not None and status.is_alive():
                bases.append(int(folder.name))
    return sorted(bases)
