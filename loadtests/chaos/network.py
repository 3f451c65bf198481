"""Faults of the network between a gateway and what is behind it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.chaos.faults import Common
from loadtests.chaos.stage import name_engines
from loadtests.chaos.wire import WELL, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.chaos.stage import Stage

_ENGINES = ("engine-0", "engine-1")


@dataclass
class Disturbed(Common):
    """A proxy delays, cuts or overwrites what comes from some servers."""

    servers: tuple[str, ...] = _ENGINES
    state: State = WELL

    def begin(self, stage: Stage) -> None:
        """From now on."""
        for each in self.servers:
            stage.wires[each].state = self.state

    def end(self, stage: Stage) -> None:
        """Pass everything on."""
        for each in self.servers:
            stage.wires[each].state = WELL


@dataclass
class Filtered(Common):
    """The kernel drops packets to and from some servers, in both directions."""

    servers: tuple[str, ...] = _ENGINES
    share: float = 1.0

    def missing(self, stage: Stage) -> str | None:
        """It needs a network of its own."""
        return stage.room.reason

    def begin(self, stage: Stage) -> None:
        """Add the rules."""
        for port in self._ports(stage):
            for side in ("--sport", "--dport"):
                _filter("-A", self._rule(port, side))

    def end(self, stage: Stage) -> None:
        """Take them away, those that are there."""
        for port in self._ports(stage):
            for side in ("--sport", "--dport"):
                if _filter("-C", self._rule(port, side), may_fail=True):
                    _filter("-D", self._rule(port, side))

    def _ports(self, stage: Stage) -> list[int]:
        return [stage.wires[each].port for each in self.servers]

    def _rule(self, port: int, side: str) -> list[str]:
        chance: list[str] = []
        if self.share < 1:
            chance = ["-m", "statistic", "--mode", "random", "--probability", str(self.share)]
        return ["INPUT", "-p", "tcp", side, str(port), *chance, "-j", "DROP"]


@dataclass
class NamesGone(Common):
    """No name of a model server can be looked up any more."""

    name: str = "DNS gone"
    # Longer than any gateway here keeps what it was told.
    hold_s: float = 40.0

    def missing(self, stage: Stage) -> str | None:
        """It needs a hosts file of its own."""
        return stage.room.reason

    def begin(self, stage: Stage) -> None:
        """Forget the names; the name server does not answer."""
        name_engines(stage.room, 0)

    def end(self, stage: Stage) -> None:
        """Know them again."""
        name_engines(stage.room, len(stage.engines))


def _filter(action: str, rule: Sequence[str], *, may_fail: bool = False) -> bool:
    done = subprocess.run(
        ["iptables", "-w", action, *rule], check=not may_fail, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0
