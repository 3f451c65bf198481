"""The requests that a worker is working on, and their end when it can't wait for them."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.call import Call
from gateway.errors import ShuttingDown

_SENTENCE = (
    "The gateway is shutting down and could not wait for the end of this answer. Send the request "
    "again."
)


class InFlight:
    """Knows who works on which request; queued and half-read ones are among them."""

    def __init__(self) -> None:
        self._over = False
        self._work: dict[Call, asyncio.Task[Any]] = {}

    def enter(self, call: Call) -> None:
        """The current task works on `call` now. Raises ShuttingDown when it is too late."""
        if self._over:
            raise ShuttingDown(_SENTENCE)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request needs a task")
        self._work[call] = task

    def leave(self, call: Call) -> None:
        """The work on `call` has ended."""
        self._work.pop(call, None)

    def end(self) -> int:
        """Cancel the work on all answers that are not complete; how many they are."""
        self._over = True
        tasks = [task for call, task in self._work.items() if not call.complete]
        for task in tasks:
            task.cancel()
        return len(tasks)

    def cut(self) -> ShuttingDown:
        """What a request is told whose task was cancelled. Raises CancelledError if not by `end`.

        The task may go on then, to tell it.
        """
        task = asyncio.current_task()
        if task is None or not self._over:
            raise asyncio.CancelledError
        task.uncancel()
        return ShuttingDown(_SENTENCE)
