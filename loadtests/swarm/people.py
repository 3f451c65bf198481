"""Locust's users, one class a kind."""

from __future__ import annotations

import random
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import gevent
from gevent.pool import Group
from locust import User, task

from loadtests.client.call import UNFINISHED, Call
from loadtests.swarm.swarm import Swarm
from loadtests.users.draw import Draw
from loadtests.users.kinds import KINDS, TRACE
from loadtests.users.replayed import replayed

if TYPE_CHECKING:
    from loadtests.users.draw import Talk

_AFTER_FAILURE_S = 0.05
_LOOK_S = 0.2
_MOST_OPEN = 5_000
_numbers = count()


class Person(User):
    """Talks as its kind does; with `--rate` callers come to it, answered or not."""

    abstract = True
    kind = ""
    _leaving = False

    def on_start(self) -> None:
        """Draw from a chance of its own."""
        self._swarm = Swarm.of(self.environment)
        self._client = self._swarm.client()
        self._callers = Group()
        index = self._swarm.index
        self._rng = random.Random(f"{self._swarm.options.seed} {index} {next(_numbers)}")

    def stop(self, force: bool = False) -> bool:
        """Ask nothing more; what runs may end within `--stop-timeout`."""
        self._leaving = True
        stopped: bool = super().stop(force)
        return stopped

    def on_stop(self) -> None:
        """What runs now is over with the load."""
        self._callers.kill()
        self._client.close()

    @task
    def live(self) -> None:
        """What it does, again and again."""
        # A subclass's own tasks would come beside this one, and not in its place.
        self.act()

    def act(self) -> None:
        """One conversation, or callers for ever."""
        rate = self._swarm.options.rate
        if rate <= 0:
            self._converse(KINDS[self.kind].talk(self._draw(self._rng)))
            return
        due = time.perf_counter()
        while not self._leaving:
            due += self._rng.expovariate(rate)
            self._arrive(KINDS[self.kind].talk(self._draw(self._rng)), due)
        self._callers.join()

    def _draw(self, rng: random.Random) -> Draw:
        options = self._swarm.options
        own = random.Random(rng.random())
        return Draw(own, options.lengths, self._swarm.words, options.forced, options.think_s)

    def _arrive(self, talk: Talk, due: float) -> None:
        gevent.sleep(max(0.0, due - time.perf_counter()))
        if self._leaving:
            return
        if len(self._callers) < _MOST_OPEN:
            self._callers.spawn(self._converse, talk, due)
            return
        now = time.perf_counter()
        self._swarm.seen(Call(self.kind, due, now, now, ending="too many open calls"))

    def _converse(self, talk: Talk, due: float | None = None) -> None:
        ask: Any = next(talk, None)
        while ask is not None and not self._leaving:
            if due is None:
                gevent.sleep(ask.pause_s)
            began = time.perf_counter()
            try:
                call = self._client.ask(self.kind, ask, due)
            except gevent.GreenletExit:
                now = time.perf_counter()
                late = began if due is None else due
                self._swarm.seen(Call(self.kind, late, began, now, ending=UNFINISHED))
                raise
            self._swarm.seen(call)
            if call.failed:
                gevent.sleep(_AFTER_FAILURE_S)
            due = None
            try:
                ask = talk.send(call)
            except StopIteration:
                return


class Replayer(Person):
    """Brings a worker's part of a trace's calls at their times."""

    kind = TRACE

    def act(self) -> None:
        """Every call that falls to this process, and then nothing more."""
        index, options = self._swarm.index, self._swarm.options
        began = time.perf_counter()
        for number, each in enumerate(options.trace):
            if number % options.workers == index % options.workers:
                draw = self._draw(random.Random(f"{options.seed} {number}"))
                self._arrive(replayed(draw, each), began + each.at)
        self._callers.join()
        while not self._leaving:
            gevent.sleep(_LOOK_S)


class Chat(Person):
    """Turns with a growing history."""

    kind = "chat"


class Reasoning(Person):
    """Long streams."""

    kind = "reasoning"


class Classification(Person):
    """Short answers that may be kept."""

    kind = "classification"


class Hot(Person):
    """Few questions of many people."""

    kind = "hot"


class Batch(Person):
    """Documents to be scored."""

    kind = "batch"


class Tools(Person):
    """An agent."""

    kind = "tools"


class Abusive(Person):
    """A key above its limits."""

    kind = "abusive"


class Slow(Person):
    """Somebody on a bad line."""

    kind = "slow"


class Disconnector(Person):
    """Somebody who hangs up."""

    kind = "disconnector"
