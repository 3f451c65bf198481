"""The weights that a node keeps: one folder a source, fetched once, the oldest dropped first.

```
ROOT/NAME/           a whole and checked model with its manifest
ROOT/NAME.partial/   a fetch under way, or what a killed one left: the next goes on with it
ROOT/NAME.lock       locked by the process that fetches
ROOT/NAME.used       locked, with others, by processes that serve from it; its time is the last use
```
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.errors import WeightsError
from serving.weights.progress import GB, bytes_below

ROOT_VARIABLE = "R1_WEIGHTS_CACHE"
LIMIT_VARIABLE = "R1_WEIGHTS_CACHE_GB"
PARTIAL = ".partial"
# A disk that is full to the last byte takes the logs and everything else down with it.
DISK_RESERVE_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A model in the cache."""

    name: str
    bytes: int
    used: float
    """Unix time of its last use."""
    in_use: bool
    """A running process serves from it."""


def evictions(entries: Sequence[Entry], needed: int, room: int) -> list[Entry] | None:
    """Choose what to drop for `needed` bytes where `room` are free: least recently used first.

    Returns the entries, [] if nothing has to go, or None if dropping all that are not in use
    wouldn't be enough.
    """
    chosen: list[Entry] = []
    for entry in sorted((each for each in entries if not each.in_use), key=lambda each: each.used):
        if needed <= room:
            break
        chosen.append(entry)
        room += entry.bytes
    return chosen if needed <= room else None


class NodeCache:
    """The cache of this node. Several processes may use it at once."""

    def __init__(self, root: Path, limit_bytes: int | None = None) -> None:
        """Use a folder, made if it is missing; it is bounded by `limit_bytes` or by the disk.

        Raises:
            WeightsError: the folder can't be made.
        """
        self.root = root
        self._limit = limit_bytes
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WeightsError(
                f"the weights cache {root} can't be made ({error.strerror}): set {ROOT_VARIABLE} "
                "to a folder that can be written"
            ) from error

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "NodeCache":
        """Return the cache that the environment names.

        Raises:
            WeightsError: its limit is no number, or its folder can't be made.
        """
        return cls(cache_root(environment), cache_limit(environment))

    def folder(self, name: str) -> Path:
        """Return where an entry is, or will be."""
        return self.root / name

    def entries(self) -> list[Entry]:
        """Return all whole models; folders that somebody else put there are not among them."""
        return [
            Entry(path.name, bytes_below(path), self._used(path.name), self._in_use(path.name))
            for path in sorted(self.root.iterdir())
            if path.is_dir() and (self.root / f"{path.name}.lock").exists()
        ]

    @contextmanager
    def fetching(self, name: str) -> Iterator[None]:
        """Be the one process that fetches an entry; wait while another is."""
        with locked(self.root / f"{name}.lock"):
            yield

    def is_being_fetched(self, name: str) -> bool:
        """Tell whether a process fetches an entry."""
        with (self.root / f"{name}.lock").open("w") as lock:
            return not _lockable(lock.fileno())

    def hold(self, name: str) -> int:
        """Keep an entry from being dropped as long as the returned descriptor is open."""
        held = os.open(self.root / f"{name}.used", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(held, fcntl.LOCK_SH)
        os.utime(held)
        return held

    def make_room(self, name: str, needed: int) -> list[str]:
        """Drop entries until `needed` more bytes fit, and return their names.

        Raises:
            WeightsError: they don't fit even so; the message has the figures.
        """
        others = [each for each in self.entries() if each.name != name]
        room = free_bytes(self.root)
        if self._limit is not None:
            room = min(room, self._limit - sum(each.bytes for each in others))
        chosen = evictions(others, needed, room)
        if chosen is None:
            limit = "" if self._limit is None else f" of a limit of {self._limit / GB:.1f} GB"
            raise WeightsError(
                f"{name} needs {needed / GB:.1f} GB in {self.root}, where {max(0, room) / GB:.1f} "
                f"GB{limit} are free and nothing else can be dropped: give more disk "
                f"({ROOT_VARIABLE}, {LIMIT_VARIABLE})"
            )
        for entry in chosen:
            shutil.rmtree(self.root / entry.name)
            (self.root / f"{entry.name}.used").unlink(missing_ok=True)
        return [entry.name for entry in chosen]

    def _used(self, name: str) -> float:
        try:
            return (self.root / f"{name}.used").stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _in_use(self, name: str) -> bool:
        try:
            handle = os.open(self.root / f"{name}.used", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _lockable(handle)
        finally:
            os.close(handle)


def cache_root(environment: Mapping[str, str]) -> Path:
    """The cache's folder by the environment; it need not be there yet."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(environment.get(ROOT_VARIABLE) or f"{base}/r1/weights").expanduser()


def cache_limit(environment: Mapping[str, str]) -> int | None:
    """Bytes that the cache may take by the environment, None without a limit.

    Raises:
        WeightsError: the limit is no number.
    """
    given = environment.get(LIMIT_VARIABLE)
    try:
        return int(float(given) * GB) if given else None
    except ValueError as error:
        raise WeightsError(f"{LIMIT_VARIABLE} is {given!r}: give gigabytes") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, once whoever holds it is done. It goes with the process."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_bytes(folder: Path) -> int:
    """Bytes that weights may still take of a folder's disk."""
    return shutil.disk_usage(folder).free - DISK_RESERVE_BYTES


def _lockable(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
