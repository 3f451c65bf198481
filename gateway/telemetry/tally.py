"""The numbers of all processes of a gateway together, those of processes that are gone too."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gateway.telemetry.exposition import OPENMETRICS, PLAIN, Fold, Samples, render
from gateway.telemetry.families import Family
from gateway.telemetry.sheet import Cell, SheetFiles, SheetReader, make_files


class Tally:
    """Gives out sheets and reads them; what was counted on one stays when it is given back."""

    def __init__(self, families: Sequence[Family], fold: Fold = lambda cell: cell) -> None:
        """Args: `fold` says where a cell is counted."""
        self._families = families
        self._fold = fold
        self._gauges = frozenset(each.name for each in families if each.kind == "gauge")
        self._sheets: dict[SheetFiles, SheetReader] = {}
        self._cells: dict[Cell, Cell] = {}
        self._past: dict[Cell, float] = {}

    def open(self) -> SheetFiles:
        """A new sheet."""
        files = make_files()
        self._sheets[files] = SheetReader(files, self._cells)
        return files

    def close(self, files: SheetFiles) -> None:
        """Take a sheet back. Its counts stay; what its gauges said held for its process only."""
        reader = self._sheets.pop(files)
        for cell, value in reader.read():
            if cell.family not in self._gauges:
                self._past[cell] = self._past.get(cell, 0.0) + value
        reader.close()
        os.close(files.cells)
        os.close(files.names)

    def read(self) -> list[Samples]:
        """All cells with their values, sheet by sheet."""
        return [*(each.read() for each in self._sheets.values()), list(self._past.items())]

    def text(self, form: str = PLAIN) -> str:
        """All of it for Prometheus, in `form`, a media type."""
        pointers = (
            [each for reader in self._sheets.values() for each in reader.exemplars()]
            if form == OPENMETRICS
            else ()
        )
        return render(self._families, self.read(), fold=self._fold, form=form, exemplars=pointers)
