"""Steady traffic in a thread of its own, while faults come and go in the main one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtests.steady.traffic import Traffic


class Flow:
    """Traffic that runs."""

    def __init__(self, known: Traffic) -> None:
        self.traffic = replace(known, calls=[])
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._began = time.perf_counter()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self._thread.start()

    @property
    def now(self) -> float:
        """Seconds since the load's beginning, as its calls count them."""
        return time.perf_counter() - self._began

    def answered(self, since: int, least: int, within_s: float) -> bool:
        """Wait until each kind of question was answered well so many times among the calls that
        were begun since; False if that takes too long."""
        kinds = {question.kind for question in self.traffic.expected}

        def answered() -> bool:
            calls = self.traffic.calls[since:]
            good = [call.question.kind for call in calls if not self.traffic.faults(call)]
            return all(good.count(kind) >= least for kind in kinds)

        return _comes(answered, within_s)

    def midway(self, within_s: float) -> bool:
        """Wait until every caller's long stream has some of its text and lacks some; False if that
        takes too long. A fault then meets streams that have something to lose."""

        def midway() -> bool:
            # The set changes in the other thread, between two of this thread's steps only.
            shares = [
                self.traffic.share(call)
                for call in tuple(self.traffic.running)
                if call.question.tokens
            ]
            callers = self.traffic.load.long_callers
            return len(shares) == callers and all(0.05 < share < 0.8 for share in shares)

        return _comes(midway, within_s)

    def close(self) -> None:
        """Ask nothing more, and wait for the answers."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self.traffic.run(self._stop))


def _comes(condition: Callable[[], bool], within_s: float) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


@contextlib.contextmanager
def flowing(known: Traffic) -> Iterator[Flow]:
    """Traffic for the time of the block; behind it all its calls are over."""
    flow = Flow(known)
    try:
        yield flow
    finally:
        flow.close()
