"""What a stack was asked to be: written by `r1 up`, read by its guard and its supervisor."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from r1.stack.home import Home, write_private

MARKER = "R1_STACK_ID"


@dataclass(frozen=True)
class ServedModel:
    """One model of the stack and what its application is told beside the common part."""

    id: str
    weights: str | None
    profile: str


@dataclass(frozen=True)
class StackPlan:
    """Everything that the supervisor needs to know."""

    stack_id: str
    home: str
    base: int
    models: tuple[ServedModel, ...]
    temp_dir: str
    gateway_workers: int
    longest_answer_s: float
    drain_s: float
    foreground_pid: int | None
    """The `r1 up` that the stack ends with, or None for a detached stack."""

    @property
    def marker(self) -> str:
        """What the environment of each of the stack's processes holds."""
        return f"{MARKER}={self.stack_id}"

    def save(self) -> None:
        """Write the plan into its home."""
        write_private(Home(Path(self.home)).plan, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, home: Home) -> "StackPlan":
        """Read the plan of a home.

        Raises:
            OSError: there is none.
        """
        fields = json.loads(home.plan.read_text())
        fields["models"] = tuple(ServedModel(**model) for model in fields["models"])
        return cls(**fields)
