"""What the start of a replica is made of: phases, their budget and what they took. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.weights.source import Folder, Source

PHASES = ("process", "fetch", "verify", "engine", "load", "compile", "warm_up", "register")
"""In their order: the replica's process and its imports; the download into the node's cache; the
look at the files; the engine's processes and their imports; weights into memory; profiling,
compiling and the KV cache; the first requests; until the gateways can know of it."""

GB = 1_000_000_000
NETWORK_BYTES_PER_S = 1.0 * GB
"""A 10 Gbit/s card with a good store behind it."""
DISK_BYTES_PER_S = 2.0 * GB
"""An NVMe disk, read once, for all ranks of a node together."""
CHECKSUM_BYTES_PER_S = 2.0 * GB
"""SHA-256 on several cores, bounded by the disk."""
FIXED_S = {"process": 20.0, "engine": 30.0, "warm_up": 20.0, "register": 5.0}
COMPILE_S = {"gpu": 90.0, "cpu": 20.0}
LATE = 2.0
"""A phase that takes this many times its budget, and some seconds, is told."""
LATE_S = 5.0


def budget(source: Source, weight_bytes: int, *, gpu: bool, cached: bool) -> dict[str, float]:
    """Return the seconds that each phase may take on the hardware assumed above.

    Args:
        source: where the weights come from.
        weight_bytes: of all weight files; 0 where nobody knows before a look.
        gpu: the engine compiles and captures graphs for GPUs.
        cached: this node has them already.
    """
    fetched = 0 if isinstance(source, Folder) or cached else weight_bytes
    seconds = {
        **FIXED_S,
        "fetch": fetched / NETWORK_BYTES_PER_S,
        "verify": fetched / CHECKSUM_BYTES_PER_S,
        "load": weight_bytes / DISK_BYTES_PER_S,
        "compile": COMPILE_S["gpu" if gpu else "cpu"],
    }
    return {phase: seconds[phase] for phase in PHASES}


def parts(seconds: Mapping[str, float]) -> str:
    """Return phases in words: "41 s = process 9 + fetch 0 + …"."""
    told = " + ".join(f"{name} {seconds[name]:.1f}" for name in PHASES if name in seconds)
    return f"{sum(seconds.values()):.1f} s = {told}"


@dataclass
class ColdStart:
    """The start of one replica as it goes on. Seconds throughout."""

    model: str
    allowed: Mapping[str, float]
    """The budget."""
    took: dict[str, float] = field(default_factory=dict)

    def add(self, phase: str, seconds: float) -> None:
        """Record what a phase took; a phase may come in pieces."""
        if phase not in PHASES:
            raise ValueError(f"{phase!r} is no phase of a start")
        self.took[phase] = self.took.get(phase, 0.0) + max(0.0, seconds)

    def late(self) -> list[str]:
        """Return the phases far above their budget, each with both figures."""
        return [
            f"{phase} took {seconds:.0f} s of {self.allowed[phase]:.0f}"
            for phase, seconds in self.took.items()
            if seconds > LATE * self.allowed[phase] + LATE_S
        ]

    def summary(self) -> str:
        """Return the whole start in a line."""
        late = self.late()
        above = f"; above budget: {', '.join(late)}" if late else ""
        return f"cold start of {self.model}: {parts(self.took)}{above}"
