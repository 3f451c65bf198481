"""A process's numbers, in memory that another process can read at any time.

Each worker counts in its own sheet: a file of doubles, mapped into memory, and a file with one
line for each double that says what it is. Both files are unlinked from the start and known by
their descriptors only, so nothing is left behind by a kill. The parent adds the sheets up. A
worker that dies loses no count; the one that takes its place goes on with the same sheet.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

CAPACITY = 32768
"""Doubles in a sheet: 256 KiB. Labels are bounded, so this is some ten times what is needed."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one double is: a sample of a metric family."""

    family: str
    suffix: str
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SheetFiles:
    """The two descriptors of a sheet."""

    cells: int
    names: int


def make_files() -> SheetFiles:
    """Two new files without a name; they live as long as a descriptor is open."""
    descriptors = []
    for size in (CAPACITY * 8, 0):
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, size)
        descriptors.append(descriptor)
    return SheetFiles(cells=descriptors[0], names=descriptors[1])


class Sheet:
    """The writer's side. `values[i]` is a double; `place` says which i belongs to a cell."""

    def __init__(self, files: SheetFiles) -> None:
        self._files = files
        self._map = mmap.mmap(files.cells, CAPACITY * 8)
        self.values = memoryview(self._map).cast("d")
        self._places: dict[Cell, int] = {
            cell: index for index, cell in enumerate(read_names(files.names))
        }

    def place(self, cell: Cell) -> int:
        """The index of a cell, a new one if needed. Raises RuntimeError when the sheet is full."""
        index = self._places.get(cell)
        if index is not None:
            return index
        index = len(self._places)
        if index >= CAPACITY:
            raise RuntimeError("too many metric series: a label is not bounded")
        line = json.dumps([cell.family, cell.suffix, cell.labels]) + "\n"
        data = line.encode()
        # Each worker's descriptor may share its offset with the parent's: write at the end.
        os.pwrite(self._files.names, data, os.fstat(self._files.names).st_size)
        self._places[cell] = index
        return index

    def cells(self) -> Iterator[tuple[Cell, int]]:
        """All cells and their places."""
        return iter(list(self._places.items()))


def read(files: SheetFiles) -> list[tuple[Cell, float]]:
    """The reader's side: all cells with their values now."""
    names = read_names(files.names)
    with mmap.mmap(files.cells, CAPACITY * 8, prot=mmap.PROT_READ) as mapped:
        values = memoryview(mapped).cast("d")
        try:
            return [(cell, values[index]) for index, cell in enumerate(names)]
        finally:
            values.release()


def read_names(descriptor: int) -> list[Cell]:
    """The cells of a sheet, in order of their places."""
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, size, 0).decode()
    cells = []
    # A line without its end is still being written.
    for line in text.split("\n")[:-1]:
        family, suffix, labels = json.loads(line)
        cells.append(Cell(family, suffix, tuple((name, value) for name, value in labels)))
    return cells
