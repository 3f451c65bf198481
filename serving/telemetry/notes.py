"""What replicas leave for the telemetry of their node: one small file a model, in one folder."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

FOLDER_VARIABLE = "R1_TELEMETRY_DIR"
_SUFFIX = ".start.json"


@dataclass(frozen=True)
class Note:
    """How the latest start of a model on this node stands."""

    model: str
    message: str = ""
    """What it is doing, while it takes long; "" before and afterwards."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By phase, once it is over."""
    allowed: Mapping[str, float] = field(default_factory=dict)
    """The budget of each of these phases, in seconds."""
    max_replicas: int | None = None
    """The autoscaler's upper bound; None where the number of replicas is fixed."""


class Notes:
    """Reads and writes the notes of one folder; without a folder there are none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Notes":
        """Return the notes of the folder that the environment names."""
        given = environment.get(FOLDER_VARIABLE)
        return cls(Path(given) if given else None)

    def write(self, note: Note) -> None:
        """Leave a note in place of the model's last one, whole or not at all.

        Raises:
            OSError: the folder can't be written.
        """
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._folder / f".{note.model}.{os.getpid()}"
        fresh.write_text(json.dumps(asdict(note)), encoding="utf-8")
        fresh.replace(self._folder / f"{note.model}{_SUFFIX}")

    def read(self) -> list[Note]:
        """Return all notes, by model."""
        if self._folder is None or not self._folder.is_dir():
            return []
        paths = sorted(self._folder.glob(f"*{_SUFFIX}"))
        return [Note(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]
