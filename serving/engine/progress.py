"""Whether an engine that owes somebody a step still makes any. Pure; the clock is the caller's.

vLLM calls itself healthy as long as its engine process lives, so one that was stopped, or that
waits for ever for another rank, keeps all its requests and says nothing.
"""

from dataclasses import dataclass
from enum import Enum

STALL_S = 60.0
"""The longest step: far above a long prompt's, and above a kernel that is compiled late."""
QUIET_S = 15.0
"""An engine that had nothing to do for so long is asked for a token."""


class Verdict(Enum):
    """What a look at an engine comes to."""

    WELL = "well"
    ASK = "ask"
    """Nobody wants anything of it: only a request of one's own will tell."""
    STALLED = "stalled"


@dataclass
class Progress:
    """Follows the count of an engine's steps. Seconds throughout.

    From the first look at which somebody waits and no step was made, the engine owes one. It goes
    on owing it when the caller gives up, for callers leave an engine that hangs; then a request of
    one's own shows which of the two it was.
    """

    stall_s: float
    quiet_s: float
    stepped: float
    """When the last step was seen; at first, when the engine was ready."""
    steps: int = 0
    owed_since: float | None = None

    def look(self, now: float, steps: int, unfinished: int) -> Verdict:
        """Judge by the steps made so far and the requests that are not finished."""
        if steps != self.steps:
            self.steps, self.stepped, self.owed_since = steps, now, None
            return Verdict.WELL
        if unfinished and self.owed_since is None:
            self.owed_since = now
        if self.owed_since is not None and now - self.owed_since > self.stall_s:
            return Verdict.STALLED
        idle = self.owed_since is not None or now - self.stepped >= self.quiet_s
        return Verdict.ASK if idle and not unfinished else Verdict.WELL
