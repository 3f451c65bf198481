"""What `.venv` was made from, and what must be done when that has changed."""

import enum
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path


class Action(enum.Enum):
    """What the bootstrap does to `.venv`, from least to most."""

    NOTHING = "nothing"
    REGISTER = "register the project again"
    INSTALL = "install what the lock has"
    REBUILD = "make it from nothing"


@dataclass(frozen=True)
class Stamp:
    """Hashes of the lock and pyproject.toml, the Python's version, the checkout's folder."""

    lock: str
    pyproject: str
    python: str
    root: str

    def write(self, path: Path) -> None:
        """Write all or nothing: a torn stamp must never look like a finished install."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(asdict(self)), encoding="utf-8")
        partial.replace(path)


def read_stamp(path: Path) -> Stamp | None:
    """Return None where there is no stamp, or one that an older or newer bootstrap wrote."""
    try:
        return Stamp(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def decide(wanted: Stamp, found: Stamp | None, *, usable: bool, interrupted: bool) -> Action:
    """Choose the least work that makes `.venv` right.

    `usable`: it is there and its Python runs and is a supported one. `interrupted`: an earlier
    install did not end, so that any file in it may be half written. An environment cannot be
    moved: its scripts name the folder that they were made in.
    """
    if not usable or interrupted:
        return Action.REBUILD
    if found is None:
        return Action.INSTALL
    if found.root != wanted.root or found.python != wanted.python:
        return Action.REBUILD
    if found.lock != wanted.lock:
        return Action.INSTALL
    if found.pyproject != wanted.pyproject:
        return Action.REGISTER
    return Action.NOTHING
