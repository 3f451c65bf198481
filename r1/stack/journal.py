"""The supervisor's memory and voice: the status file and the lines for people."""

import time
from collections.abc import Callable

from r1.stack.home import Home
from r1.stack.status import PartState, PartStatus, StackState, StackStatus


class Journal:
    """Keeps the status in its file and appends a line to the progress log for each change."""

    def __init__(
        self, home: Home, status: StackStatus, clock: Callable[[], float] = time.time
    ) -> None:
        self._home = home
        self._clock = clock
        self.status = status
        self._began: dict[str, float] = {}

    def say(self, line: str) -> None:
        """Append a line, with the seconds since the start in front."""
        seconds = self._clock() - self.status.began
        with self._home.progress.open("a", encoding="utf-8") as stream:
            stream.write(f"{seconds:7.1f} s  {line}\n")

    def part(
        self, name: str, state: PartState, message: str = "", pid: int | None = None
    ) -> PartStatus:
        """Record a part's new state, and say it if it is news."""
        part = self.status.parts[name]
        news = (part.state, part.message) != (state, message)
        now = self._clock()
        if state in ("starting", "restarting") and part.state != state:
            self._began[name] = now
        if state == "restarting" and part.state != "restarting":
            part.restarts += 1
        part.state, part.message = state, message
        if pid is not None:
            part.pid = pid
        if state == "ready":
            if news:
                part.ready_after_s = round(now - self._began.get(name, self.status.began), 1)
                took = f"{name} is ready after {part.ready_after_s} s"
                self.say(took + (f": {message}" if message else ""))
        elif news:
            self.say(f"{name}: {state}" + (f": {message}" if message else ""))
        self.save()
        return part

    def replicas(self, name: str, counts: str) -> None:
        """Record what a model's replicas do, in words."""
        self.status.parts[name].replicas = counts
        self.save()

    def stack(self, state: StackState, message: str = "") -> None:
        """Record the stack's new state."""
        self.status.state, self.status.message = state, message
        if state == "ready" and self.status.ready_after_s is None:
            self.status.ready_after_s = round(self._clock() - self.status.began, 1)
        self.save()

    def save(self) -> None:
        """Write the status file."""
        self.status.save(self._home)
