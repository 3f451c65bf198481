"""What the users of one replica see under a load."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

from serving.plan.group import Timed
from serving.plan.load import Load
from serving.plan.queueing import FULLEST, Steady, at_rate, closed


@dataclass(frozen=True)
class Outlook:
    """A replica under its share of a load."""

    state: Steady
    place_wait_s: float = 0.0
    """Mean wait for a place in the batch or the KV cache, of those who wait for one."""
    place_wait_share: float = 0.0
    """Share of requests that wait for one."""
    varies: bool = False
    """Whether the number in flight does: with random arrivals, not with a number of users."""

    def ttft_s(self, share: float) -> float:
        """This quantile of the time to the first token, in seconds."""
        wait = 0.0
        if self.place_wait_share > 1 - share:
            wait = self.place_wait_s * math.log(self.place_wait_share / (1 - share))
            if not self.varies:
                wait = self.place_wait_s
        return self._busier(share).ttft_s(share) + wait

    def itl_s(self, share: float) -> float:
        """This quantile of the time between two tokens that a stream shows, in seconds."""
        return self._busier(share).itl_s(share)

    def e2e_s(self, share: float) -> float:
        """This quantile of the time to the last token, in seconds."""
        tokens = self.state.load.answer.quantile(share)
        return self.ttft_s(share) + tokens * self.state.tpot_s

    @property
    def tokens_per_s(self) -> float:
        """Output tokens of the replica."""
        return self.state.tokens_per_s

    @property
    def tokens_per_s_per_user(self) -> float:
        """Output tokens that one user sees."""
        return 1 / self.state.tpot_s

    @cached_property
    def _spread(self) -> float:
        return math.sqrt(self.state.decoding) if self.varies else 0.0

    def _busier(self, share: float) -> Steady:
        """The state at a moment of this quantile's load."""
        if not self._spread:
            return self.state
        most = self.state.group.most_sequences(self.state.load.context)
        decoding = self.state.decoding + NormalDist().inv_cdf(share) * self._spread
        return replace(self.state, decoding=max(0.1, min(most, decoding)))


def outlook(group: Timed, load: Load) -> Outlook | None:
    """What a replica's users see; None where random arrivals are more than it can ever serve."""
    if load.requests_per_s is None:
        state = closed(group, load)
        ranks = group.ranks
        outside = max(0.0, (load.users or 0.0) - state.in_flight * ranks)
        if outside < 1e-2 * (load.users or 1.0):
            return Outlook(state)
        return Outlook(state, outside / state.requests_per_s, place_wait_share=1.0)
    found = at_rate(group, load)
    if found is None:
        return None
    places = group.most_sequences(load.context) * group.ranks
    used = min(FULLEST, found.in_flight * group.ranks / places)
    # A queue with as many servers as places (Sakasegawa, 1977).
    stay = load.answer.mean * found.tpot_s
    waits = used ** (math.sqrt(2 * (places + 1)) - 1)
    return Outlook(found, stay / (places * (1 - used)), place_wait_share=waits, varies=True)
