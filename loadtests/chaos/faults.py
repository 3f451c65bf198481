"""The faults: each is a small object that begins and ends.

`end` undoes whatever `begin` did, also half of it, and may be called twice.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import psutil

from loadtests.chaos.engines import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.chaos.stage import Stage


class Fault(Protocol):
    """Something that goes wrong for a while."""

    @property
    def name(self) -> str:
        """For the table."""

    @property
    def hold_s(self) -> float:
        """How long it lasts, in seconds."""

    @property
    def spares(self) -> bool:
        """Whether r1's callers may notice nothing but a pause."""

    @property
    def stores(self) -> bool:
        """Whether it only concerns those who use Redis."""

    def missing(self, stage: Stage) -> str | None:
        """Why it can't be tried here; None if it can."""

    def begin(self, stage: Stage) -> None:
        """Break it."""

    def end(self, stage: Stage) -> None:
        """Mend it."""


@contextlib.contextmanager
def broken(fault: Fault, stage: Stage) -> Iterator[None]:
    """A fault that is undone whatever happens meanwhile."""
    try:
        fault.begin(stage)
        yield
    finally:
        fault.end(stage)


@dataclass
class Common:
    """What most faults have alike."""

    name: str
    hold_s: float = 3.0
    spares: bool = True
    stores: bool = False

    def missing(self, stage: Stage) -> str | None:
        """Nothing is."""
        return None


@dataclass
class Killed(Common):
    """An engine ends by SIGKILL, the one with the most to do; it is started again at the end."""

    name: str = "engine killed"

    def begin(self, stage: Stage) -> None:
        """Kill it. With more streams than calls under way, one of its requests is a stream."""
        max(stage.engines, key=Engine.running).kill()

    def end(self, stage: Stage) -> None:
        """Start it."""
        for each in stage.engines:
            each.revive()


@dataclass
class Frozen(Common):
    """An engine stops where it is, its connections open."""

    name: str = "engine frozen"
    hold_s: float = 40.0

    def begin(self, stage: Stage) -> None:
        """SIGSTOP."""
        stage.engines[0].freeze()

    def end(self, stage: Stage) -> None:
        """SIGCONT."""
        stage.engines[0].thaw()


@dataclass
class Slow(Common):
    """An engine runs for a twentieth of the time only."""

    name: str = "engine slow"
    hold_s: float = 6.0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self, stage: Stage) -> None:
        """Stop it again and again."""
        self._over.clear()
        engine = stage.engines[0]

        def throttle() -> None:
            while not self._over.is_set():
                engine.freeze()
                self._over.wait(0.19)
                engine.thaw()
                self._over.wait(0.01)

        self._thread = threading.Thread(target=throttle, name="throttle")
        self._thread.start()

    def end(self, stage: Stage) -> None:
        """Leave it running."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        stage.engines[0].thaw()


@dataclass
class WorkerKilled(Common):
    """One of the gateway's workers ends by SIGKILL: its callers' connections end with it."""

    name: str = "gateway worker killed"
    spares: bool = False

    def begin(self, stage: Stage) -> None:
        """Kill the worker that has the most connections."""
        workers = [each for each in stage.served.child.tree()[1:] if _connections(each)]
        if workers:
            os.kill(max(workers, key=_connections).pid, signal.SIGKILL)

    def end(self, stage: Stage) -> None:
        """The gateway starts another one by itself."""


def _connections(process: psutil.Process) -> int:
    try:
        return len([each for each in process.net_connections("tcp") if each.status != "LISTEN"])
    except psutil.Error:
        return 0


@dataclass
class RedisKilled(Common):
    """Redis ends by SIGKILL, and comes back with its log."""

    name: str = "Redis killed"
    stores: bool = True

    def begin(self, stage: Stage) -> None:
        """Kill it."""
        stage.redis.kill()

    def end(self, stage: Stage) -> None:
        """Start it."""
        stage.redis.revive()


@dataclass
class RedisFlushed(Common):
    """All that Redis had is gone at once: keys, limits, places, scripts."""

    name: str = "Redis flushed"
    stores: bool = True

    def begin(self, stage: Stage) -> None:
        """FLUSHALL and SCRIPT FLUSH."""
        with stage.redis.client() as client:
            client.flushall()
            client.script_flush()

    def end(self, stage: Stage) -> None:
        """Nothing to mend: the declared key comes back by itself."""


@dataclass
class RedisFull(Common):
    """Redis has no memory left and evicts nothing: every write is refused."""

    name: str = "Redis out of memory"
    stores: bool = True

    def begin(self, stage: Stage) -> None:
        """Less than it uses."""
        with stage.redis.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")

    def end(self, stage: Stage) -> None:
        """No limit."""
        with stage.redis.client() as client:
            client.config_set("maxmemory", "0")
