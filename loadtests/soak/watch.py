"""What a gateway's processes take while the run goes on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from loadtests.chaos.processes import Child

_EVERY_S = 2.0


class Watch:
    """Notes memory (bytes that are a process's own) and open descriptors of all processes."""

    def __init__(self, child: Child) -> None:
        self.memory: list[tuple[float, float]] = []
        self.descriptors: list[tuple[float, float]] = []
        self.pids: set[frozenset[int]] = set()
        self._child = child
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self._thread.start()

    def close(self) -> None:
        """Note nothing more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(_EVERY_S):
            try:
                tree = self._child.tree()
                memory = sum(each.memory_full_info().uss for each in tree)
                descriptors = sum(each.num_fds() for each in tree)
            except psutil.Error:
                continue
            at = time.monotonic() - began
            self.pids.add(frozenset(each.pid for each in tree))
            self.memory.append((at, memory))
            self.descriptors.append((at, descriptors))
