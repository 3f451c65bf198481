"""When a part that died is started again: pure policy, the clock is the caller's."""

from dataclasses import dataclass

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STEADY_AFTER_S = 60.0
GIVE_UP_AFTER = 6


@dataclass(frozen=True)
class Restart:
    """What to do about a death: start again after `delay_s` seconds, or give up."""

    delay_s: float
    attempt: int
    give_up: bool


@dataclass
class RestartPolicy:
    """Doubles the delay with each death in a row; a part that ran for a while starts afresh.

    A part that never became ready within `give_up_after` starts in a row is given up: it would
    fail for ever for the same reason, and the user has to see it.
    """

    first_delay_s: float = FIRST_DELAY_S
    longest_delay_s: float = LONGEST_DELAY_S
    steady_after_s: float = STEADY_AFTER_S
    give_up_after: int = GIVE_UP_AFTER
    deaths: int = 0

    def died(self, ran_s: float) -> Restart:
        """Return what to do when the part died after `ran_s` seconds (0: it never was ready)."""
        if ran_s >= self.steady_after_s:
            self.deaths = 0
        self.deaths += 1
        delay = min(self.first_delay_s * 2 ** (self.deaths - 1), self.longest_delay_s)
        return Restart(delay, self.deaths, self.deaths >= self.give_up_after)
