"""The output is the journal: what is in it is done, and nothing else remembers anything.

A line is done when it is there with its line feed. A run that is killed can leave one torn line at
the end of a file; it is cut off, and its request is asked again. So no request is lost, and none is
answered twice, wherever the cut was.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from serving.batch.form import PREFIX
from serving.errors import ServingError

SYNC_S = 1.0


class UnusableOutput(ServingError):
    """The output can't be gone on with; the message says why and what to do."""


@dataclass(slots=True)
class Recovered:
    """What earlier runs left in one file."""

    done: dict[str, str] = field(default_factory=dict)
    """The answers' ids by custom_id."""
    whole: int = 0
    """Bytes of the whole lines; what is behind them is torn."""


def recover(lines: Iterable[bytes]) -> Recovered:
    """Read an output's lines, each with its line feed, if it has one. Pure.

    Raises:
        UnusableOutput: a line is none that a batch writes, or a custom_id is there twice.
    """
    found = Recovered()
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            # A power failure can leave zeros where bytes were not yet on the disk.
            torn = line.rstrip(b"\0")
            if not (torn.startswith(PREFIX) or PREFIX.startswith(torn)):
                raise UnusableOutput(f"line {number} is not a batch's")
            break
        try:
            document = json.loads(line)
            custom_id, name = str(document["custom_id"]), str(document["id"])
        except (ValueError, TypeError, KeyError) as error:
            raise UnusableOutput(f"line {number} is not a batch's") from error
        if custom_id in found.done:
            raise UnusableOutput(f"line {number}: custom_id `{custom_id}` is there twice")
        found.done[custom_id] = name
        found.whole += len(line)
    return found


def errors_beside(output: Path) -> Path:
    """The errors' file of an output: out.errors.jsonl beside out.jsonl."""
    return output.with_name(f"{output.stem}.errors{output.suffix}")


class Journal:
    """The output and the errors' file, open for one run alone.

    A line goes to the system in one write as soon as it is there, so that a killed process loses
    none. It is on the disk after a second at most (`SYNC_S`), for the case that the power fails.
    """

    def __init__(self, output: Path, clock: Callable[[], float]) -> None:
        """Open the output and read both files; nothing in them is changed yet.

        Raises:
            UnusableOutput: another run has the output, or a file in its place is none of a batch's.
            OSError: a file can't be opened.
        """
        self.output, self.errors = output, errors_beside(output)
        self.done: dict[str, str] = {}
        self._clock = clock
        self._synced = clock()
        self._whole: dict[Path, int] = {}
        self._files: dict[Path, int] = {}
        self._unsynced: set[int] = set()
        try:
            self._lock(self._open(output))
            for path in (output, self.errors):
                self._recover(path)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> int:
        if path not in self._files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._files[path] = os.open(path, flags, 0o666)
        return self._files[path]

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnusableOutput(
                f"another `r1 batch run` writes {self.output}; wait for its end, or name another "
                "output"
            ) from error

    def _recover(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            with path.open("rb") as lines:
                found = recover(lines)
        except UnusableOutput as error:
            raise UnusableOutput(f"{path}: {error}; name another output, or move it") from error
        both = self.done.keys() & found.done.keys()
        if both:
            raise UnusableOutput(f"{path}: custom_id `{min(both)}` is in {self.output} too")
        self.done |= found.done
        self._whole[path] = found.whole

    def cut(self) -> None:
        """Cut off what a killed run left torn at the files' ends."""
        for path, whole in self._whole.items():
            os.truncate(path, whole)

    def add(self, line: bytes, *, error: bool) -> None:
        """Write one line, with its line feed, into the output or into the errors' file.

        Raises:
            OSError: the disk is full, or broken.
        """
        handle = self._open(self.errors if error else self.output)
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(handle, rest) :]
        self._unsynced.add(handle)

    def keep_up(self) -> None:
        """Sync if a second has passed since it was done; to be called several times a second."""
        if self._clock() - self._synced >= SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Have the system put on the disk what it still holds in memory."""
        for handle in self._unsynced:
            os.fsync(handle)
        self._unsynced.clear()
        self._synced = self._clock()

    def close(self) -> None:
        """Sync and close both files, and let others have them."""
        self.sync()
        while self._files:
            os.close(self._files.popitem()[1])

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
