"""When an upstream that fails is left alone, and when it is tried again. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from gateway.settings import PoolSettings


class State(IntEnum):
    """The values are those of `r1_breaker_state`."""

    CLOSED = 0
    """It is asked like any other."""
    HALF_OPEN = 1
    """One attempt is under way that will tell; there is no other meanwhile."""
    OPEN = 2
    """It is left alone until its pause is over."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an attempt holds, so that its end is weighed against the state it began in."""

    round: int
    probe: bool


class Breaker:
    """Opens after failures in a row, and closes when an attempt after the pause works.

    The pause doubles with each probe that fails, from `open_s` to `longest_open_s`, and is cut by
    up to a half by chance, so that workers don't come back together. Times are seconds of any
    clock, draws are uniform in [0, 1).
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._open = False
        self._probing = False
        self._failures = 0
        self._opened = 0
        self._until = 0.0
        self._closed_at = -math.inf
        # Attempts of an earlier round began before the last opening: they tell nothing new.
        self._round = 0

    @property
    def state(self) -> State:
        """Open also when the pause is over and no attempt has come since."""
        if not self._open:
            return State.CLOSED
        return State.HALF_OPEN if self._probing else State.OPEN

    def admits(self, now: float) -> bool:
        """Whether an attempt may be made: any while closed, one after a pause."""
        return not self._open or (now >= self._until and not self._probing)

    def enter(self, now: float) -> Ticket:
        """An attempt begins, also one that is made because there is no other upstream."""
        probe = self._open and self.admits(now)
        self._probing = self._probing or probe
        return Ticket(self._round, probe)

    def worked(self, ticket: Ticket, now: float) -> bool:
        """An attempt was answered; True if that closes the breaker."""
        if ticket.round != self._round:
            return False
        self._failures = 0
        closes = self._open
        if closes:
            self._open = self._probing = False
            self._closed_at = now
        return closes

    def failed(self, ticket: Ticket, now: float, draw: float, *, may_open: bool = True) -> bool:
        """An attempt failed; True if that opens the breaker, or opens it again.

        Without `may_open` a closed breaker stays closed.
        """
        if ticket.round != self._round:
            return False
        if self._open:
            opens = ticket.probe
        else:
            self._failures += 1
            opens = may_open and self._failures >= self._settings.failures
        if opens:
            self.trip(now, draw)
        return opens

    def left(self, ticket: Ticket) -> None:
        """An attempt ended without telling anything: its caller left, or was at fault."""
        if ticket.probe and ticket.round == self._round:
            self._probing = False

    def trip(self, now: float, draw: float) -> None:
        """Open, or open again."""
        settings = self._settings
        if now - self._closed_at > settings.longest_open_s and not self._open:
            self._opened = 0
        pause = min(settings.longest_open_s, settings.open_s * 2.0 ** min(self._opened, 32))
        self._until = now + pause * (1.0 - draw / 2)
        self._opened += 1
        self._round += 1
        self._failures = 0
        self._open = True
        self._probing = False
