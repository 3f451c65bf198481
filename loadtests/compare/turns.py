"""Servers that share a machine's cores take turns: all but one are stopped (SIGSTOP)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Tree:
    """A process and all below it."""

    root: int

    def stop(self) -> None:
        """Stop them, the parents first: who is stopped starts nobody, and misses nobody."""
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def go_on(self) -> None:
        """Let them go on, the children first."""
        for process in reversed(self._all()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _all(self) -> list[psutil.Process]:
        root = psutil.Process(self.root)
        return [root, *root.children(recursive=True)]


@contextlib.contextmanager
def alone(tree: Tree, everybody: Sequence[Tree]) -> Iterator[None]:
    """This one runs while all the others are stopped; afterwards all of them go on."""
    others = [each for each in everybody if each != tree]
    try:
        for other in others:
            other.stop()
        yield
    finally:
        for other in others:
            other.go_on()
