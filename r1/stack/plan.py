"""What a stack was asked to be: written by `r1 up`, read by its guard and its supervisor."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from r1.stack.home import Home, write_private

MARKER = "R1_STACK_ID"


@dataclass(frozen=True)
class ServedModel:
    """One model of the stack and what its application is told beside the common part."""

    id: str
    weights: str | None
    profile: str
    adapters: dict[str, str] = field(default_factory=dict)
    """Folders of its LoRA adapters by name."""
    max_adapters: int = 0
    """Adapters that it may have at once."""
    min_replicas: int = 1
    max_replicas: int = 1
    """Above `min_replicas`: as many as the load wants."""
    build: str | None = None
    """One of the model's builds in place of its profile's."""
    hardware: str = "cpu"
    """Id of a machine shape, or the path of its description."""
    gpus: int = 0
    """GPUs of the machine, where the model runs on them."""
    context: int | None = None
    """Tokens of prompt and answer that the engine takes; None for as many as the catalog says."""
    local: bool = True
    """The weights are a folder here, so that no hub is needed."""


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
    def gpus(self) -> int:
        """GPUs of the machine, where a model runs on them."""
        return max((model.gpus for model in self.models), default=0)

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
