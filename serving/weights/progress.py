"""How far a fetch is: pure figures and the line that tells them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Phase = Literal["waiting", "fetch", "verify"]
GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a fetch."""

    phase: Phase
    done: int = 0
    """Bytes that are there, those of an earlier try included."""
    total: int = 0
    """Bytes that there will be."""
    seconds: float = 0.0
    """Since this try began."""
    fresh: int = 0
    """Bytes that came in this try."""

    def sentence(self) -> str:
        """Return the progress in words: share, rate, time left."""
        if self.phase == "waiting":
            return "another process of this node fetches the weights"
        if self.phase == "verify":
            return f"checking the weights ({self.total / GB:.1f} GB)"
        share = 100 * self.done // self.total if self.total else 100
        words = f"fetching weights: {share} % of {self.total / GB:.1f} GB"
        if self.fresh > 0 and self.seconds > 0:
            rate = self.fresh / self.seconds
            words += f", {rate / 1e6:.0f} MB/s, {_span((self.total - self.done) / rate)} left"
        return words

    def as_document(self) -> dict[str, Any]:
        """Return the fields, for a line of JSON."""
        return asdict(self)


def bytes_below(folder: Path) -> int:
    """Bytes of all files in a folder, unfinished downloads included."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_size
        except FileNotFoundError:  # renamed meanwhile
            continue
    return total


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
