"""A process's numbers, in memory that another process can read at any time.

Each worker counts in its own sheet: a file of doubles, mapped into memory, and a file with one
line for each double that says what it is. Both files have no name and are known by their
descriptors only, so nothing is left behind by a kill. They are of memory alone, where the system
has such: a mapped page that a full disk has no room for kills whoever counts on it. The parent
adds the sheets up. A worker that dies loses no count; the one that takes its place goes on with
the same sheet.
"""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import orjson

from gateway.telemetry import exemplars
from gateway.telemetry.exemplars import Exemplar
from gateway.telemetry.logs import EVENTS

CAPACITY = 131072
"""Doubles in a sheet: 1 MiB, of which only what is used takes memory. Labels are bounded, and a
model has some hundreds: this is for as many models as come and go while a gateway runs. Exemplars
lie in its first half only, so that they never take the place of a count."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one double is: a sample of a metric family."""

    family: str
    suffix: str
    labels: tuple[tuple[str, str], ...]

    @property
    def width(self) -> int:
        """Doubles that it takes."""
        return exemplars.WORDS if self.suffix == exemplars.SUFFIX else 1


@dataclass(frozen=True, slots=True)
class SheetFiles:
    """The two descriptors of a sheet."""

    cells: int
    names: int


def make_files() -> SheetFiles:
    """Two new files without a name; they live as long as a descriptor is open."""
    descriptors = []
    for size in (CAPACITY * 8, 0):
        descriptor = _nameless()
        os.ftruncate(descriptor, size)
        descriptors.append(descriptor)
    return SheetFiles(cells=descriptors[0], names=descriptors[1])


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("r1-sheet")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Sheet:
    """The writer's side. `values[i]` is a double; `place` says which i belongs to a cell."""

    def __init__(self, files: SheetFiles) -> None:
        self._files = files
        _cut_unfinished(files.names)
        self._map = mmap.mmap(files.cells, CAPACITY * 8)
        self.values = memoryview(self._map).cast("d")
        self._places: dict[Cell, int] = {}
        self._used = 0
        for cell in _lines(files.names, 0)[0]:
            self._places[cell] = self._used
            self._used += cell.width
        self._full = False

    def place(self, cell: Cell) -> int:
        """The index of a cell, a new one if needed.

        When the sheet is full the log says so, once, and further cells have one double that
        nobody reads: what is counted must not be what fails requests.
        """
        index = self._places.get(cell)
        if index is not None:
            return index
        if self._used >= CAPACITY - 1:
            if not self._full:
                self._full = True
                fields = {"family": cell.family, "series": len(self._places)}
                logging.getLogger(EVENTS).error("metrics_full", extra={"fields": fields})
            return CAPACITY - 1
        return self._add(cell)

    def point(self, cell: Cell, exemplar: Exemplar) -> None:
        """Keep this for a cell of an exemplar, if there is room."""
        index = self._places.get(cell)
        if index is None:
            if self._used + cell.width > CAPACITY // 2:
                return
            index = self._add(cell)
        self._map[8 * index : 8 * (index + cell.width)] = exemplars.packed(exemplar)

    def _add(self, cell: Cell) -> int:
        index = self._used
        data = orjson.dumps([cell.family, cell.suffix, cell.labels]) + b"\n"
        # Each worker's descriptor may share its offset with the parent's: write at the end.
        os.pwrite(self._files.names, data, os.fstat(self._files.names).st_size)
        self._places[cell] = index
        self._used += cell.width
        return index

    def cells(self) -> Iterator[tuple[Cell, int]]:
        """All cells and their places."""
        return iter(list(self._places.items()))


class SheetReader:
    """The reader's side. What cells are is read once: lines are added, and never change."""

    def __init__(self, files: SheetFiles, known: dict[Cell, Cell] | None = None) -> None:
        """Args: `known` are cells of other sheets: equal ones become the same object, so that
        joining sheets compares no labels."""
        self._files = files
        self._known = {} if known is None else known
        self._map = mmap.mmap(files.cells, CAPACITY * 8, prot=mmap.PROT_READ)
        self._values = memoryview(self._map).cast("d")
        self._numbers: list[tuple[Cell, int]] = []
        self._exemplars: list[tuple[Cell, int]] = []
        self._seen = 0
        self._used = 0

    def read(self) -> list[tuple[Cell, float]]:
        """All cells with their values now, but for exemplars."""
        self._look()
        values = self._values
        return [(cell, values[at]) for cell, at in self._numbers]

    def exemplars(self) -> list[tuple[Cell, Exemplar]]:
        """All exemplars, each with its cell."""
        self._look()
        width = 8 * exemplars.WORDS
        found = [
            (cell, exemplars.unpacked(self._map[8 * at : 8 * at + width]))
            for cell, at in self._exemplars
        ]
        return [(cell, exemplar) for cell, exemplar in found if exemplar is not None]

    def close(self) -> None:
        """Read no more; the files stay open."""
        self._values.release()
        self._map.close()

    def _look(self) -> None:
        """Learn of cells that have come."""
        lines, self._seen = _lines(self._files.names, self._seen)
        for new in lines:
            cell = self._known.setdefault(new, new)
            kind = self._numbers if cell.width == 1 else self._exemplars
            kind.append((cell, self._used))
            self._used += cell.width


def read(files: SheetFiles) -> list[tuple[Cell, float]]:
    """All cells of a sheet with their values now, but for exemplars."""
    with closing(SheetReader(files)) as reader:
        return reader.read()


def read_exemplars(files: SheetFiles) -> list[tuple[Cell, Exemplar]]:
    """All exemplars of a sheet, each with its cell."""
    with closing(SheetReader(files)) as reader:
        return reader.exemplars()


def _lines(descriptor: int, start: int) -> tuple[list[Cell], int]:
    """The cells that the file of names tells from `start` on, and where the next ones begin."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size - start, start)
    # A line without its end is still being written.
    whole = data[: data.rfind(b"\n") + 1]
    rows = orjson.loads(b"[" + b",".join(whole.splitlines()) + b"]")
    cells = [
        Cell(family, suffix, tuple((name, value) for name, value in labels))
        for family, suffix, labels in rows
    ]
    return cells, start + len(whole)


def _cut_unfinished(descriptor: int) -> None:
    """Drop a line whose writer was killed before its end: the next one begins a line of its own."""
    size = os.fstat(descriptor).st_size
    os.ftruncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)
