"""What users see of an engine group under load: the steps' durations put into a queue.

Prompts are computed in the steps that also decode (chunked prefill), so a prompt makes one step
longer for everyone. Who asks finds a step under way, other prompts before his own, and at times no
place in the KV cache. All figures are for one group of one replica.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from serving.plan.group import Timed
from serving.plan.load import Load
from serving.plan.roofline import Work

FULLEST = 0.97
"""Of what a group can do; nearer to it queues grow longer than any plan."""
HALVINGS = 12
"""Of the interval that a steady state is searched in."""


@dataclass(frozen=True)
class Steady:
    """A group whose ranks each decode `decoding` sequences, with a prompt for each that ends."""

    group: Timed
    load: Load
    decoding: float
    """Sequences of a rank, on average."""
    itself: float = 0.0
    """1 where arrivals are random: a request then finds the average number of others in the
    batch, and is in it itself. Of a fixed number of users it is one already."""

    @property
    def batch(self) -> float:
        """Sequences in a step, as a request sees it."""
        return self.decoding + self.itself

    @cached_property
    def chunk(self) -> float:
        """Prompt tokens computed in one step: a whole prompt, or what a step has room for."""
        room = max(1.0, self.group.max_batched_tokens - self.batch)
        return min(self.load.computed, room)

    @property
    def chunks_per_step(self) -> float:
        """Chunks of prompts in a step of the whole group, on average."""
        ended = self.decoding * self.group.tokens_per_step / self.load.answer.mean
        return ended * self.group.ranks * self.load.computed / self.chunk

    @cached_property
    def plain_s(self) -> float:
        """A step without a prompt."""
        return self.group.seconds(Work(self.batch, self.load.context))

    def with_chunks_s(self, mean: float, peak: float) -> float:
        """A step with chunks of prompts: so many a rank on average, and on the fullest one."""
        most = max(1.0, self.group.max_batched_tokens - self.batch)
        work = Work(
            self.batch,
            self.load.context,
            min(mean * self.chunk, most),
            self.load.prompt.mean,
            min(max(mean, peak) * self.chunk, most),
        )
        return self.group.seconds(work)

    @cached_property
    def some_share(self) -> float:
        """Of the steps that have chunks in them."""
        if self.group.ranks == 1:
            return min(1.0, self.chunks_per_step)
        return 1 - math.exp(-self.chunks_per_step)

    @cached_property
    def some_s(self) -> float:
        """A step with chunks in it, on average."""
        ranks = self.group.ranks
        each = self.chunks_per_step / ranks
        return self.with_chunks_s(each / self.some_share, fullest(each, ranks) / self.some_share)

    @cached_property
    def step_s(self) -> float:
        """A step, on average."""
        return self.plain_s + self.some_share * (self.some_s - self.plain_s)

    def added_s(self, prompt: float) -> float:
        """What a prompt of so many tokens adds to the steps it is computed in."""
        computed = prompt * (1 - self.load.prefix_hits)
        room = max(1.0, self.group.max_batched_tokens - self.batch)
        chunk = min(computed, room)
        work = Work(self.batch, self.load.context, chunk / self.group.ranks, prompt, chunk)
        return (self.group.seconds(work) - self.plain_s) * computed / chunk

    @cached_property
    def prompt_s(self) -> float:
        """What the mean prompt adds."""
        return self.added_s(self.load.prompt.mean)

    @property
    def tpot_s(self) -> float:
        """Time per output token of an answer under way."""
        return self.step_s / self.group.tokens_per_step

    @property
    def tokens_per_s(self) -> float:
        """Output tokens of the whole group."""
        return self.decoding * self.group.ranks / self.tpot_s

    @property
    def requests_per_s(self) -> float:
        """Answers of the whole group."""
        return self.tokens_per_s / self.load.answer.mean

    @property
    def in_flight(self) -> float:
        """Requests of a rank that decode or wait for their first token (Little's law)."""
        rate = self.requests_per_s / self.group.ranks
        return self.decoding + rate * (self.mean_ttft_s - self.group.request_s)

    @property
    def busy(self) -> float:
        """Share of a rank's time that prompts take, 0 to 1: what the next prompt waits for."""
        return min(FULLEST, self.requests_per_s / self.group.ranks * self.prompt_s)

    def itl_s(self, share: float) -> float:
        """This quantile of the time between two steps' tokens."""
        some = self.some_share
        if share <= 1 - some:
            return self.plain_s
        # Of the steps with prompts, this quantile: of how many there are, and of their length.
        within = 1 - (1 - share) / some
        longest = self.load.prompt.quantile(within) if within > 0 else self.load.prompt.mean
        others = max(0, _poisson_quantile(self.chunks_per_step, share) - 1)
        work = (others * self.load.prompt.mean + longest) * (1 - self.load.prefix_hits)
        most = max(1.0, self.group.max_batched_tokens - self.batch)
        ranks = self.group.ranks
        peak = min(most, work if ranks == 1 else max(longest, work / ranks))
        mean = min(most, work / ranks)
        return self.group.seconds(
            Work(self.batch, self.load.context, mean, self.load.prompt.mean, peak)
        )

    def ttft_s(self, share: float) -> float:
        """This quantile of the time from a request to its first token, with a place free."""
        own = self.plain_s + self.added_s(self.load.prompt.quantile(share))
        # A step under way is met at a random moment; the wait for prompts before one's own has
        # nearly exponential tails.
        under_way = share * self.plain_s
        waits = max(0.0, -math.log(max(1e-9, (1 - share) / self.busy)))
        return self.group.request_s + under_way + own + waits * self._wait_s

    @property
    def mean_ttft_s(self) -> float:
        """Mean time from a request to its first token, with a place free."""
        wait = self.busy * self._wait_s
        return self.group.request_s + 1.5 * self.plain_s + self.prompt_s + wait

    @property
    def _wait_s(self) -> float:
        """Mean wait for other prompts of those who wait: M/G/1 (Pollaczek and Khinchine)."""
        varied = math.exp(self.load.prompt.spread**2)
        return self.prompt_s * varied / (2 * (1 - self.busy))


def fullest(mean: float, ranks: int) -> float:
    """Most prompts on any of `ranks` ranks, where each gets Poisson(mean) of them in a step."""
    if ranks == 1 or mean <= 0:
        return mean
    total, term, below = 0.0, math.exp(-mean), 0.0
    for count in range(int(mean + 12 * math.sqrt(mean) + 20)):
        below += term
        total += 1 - min(1.0, below) ** ranks
        term *= mean / (count + 1)
    return total


def _poisson_quantile(mean: float, share: float) -> int:
    term, below, count = math.exp(-mean), 0.0, 0
    while True:
        below += term
        if below >= share or count > 10 * mean + 100:
            return count
        count += 1
        term *= mean / count


def closed(group: Timed, load: Load) -> Steady:
    """The steady state with `load.users` in flight over all ranks; None of them: as many as fit.

    Args:
        group: the engine group.
        load: its users, of whom those wait that find no place in the KV cache.
    """
    users = math.inf if load.users is None else load.users / group.ranks
    most = _fed(group, load, min(users, group.most_sequences(load.context)))
    state = Steady(group, load, most)
    if state.in_flight <= users:
        return state
    # Users who wait for their first token do not decode.
    low, high = 0.0, most
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        state = Steady(group, load, middle)
        low, high = (middle, high) if state.in_flight <= users else (low, middle)
    return state


def _fed(group: Timed, load: Load, decoding: float) -> float:
    """Sequences that the prompts of a step can replace: their tokens end at its budget."""
    per_sequence = group.tokens_per_step / load.answer.mean * load.computed
    return min(decoding, group.max_batched_tokens / (1 + per_sequence))


def at_rate(group: Timed, load: Load) -> Steady | None:
    """The steady state under `load.requests_per_s`; None where that is more than it can serve."""
    rate = load.requests_per_s or 0.0
    high = _fed(group, load, group.most_sequences(load.context))
    if high < 1e-6 or Steady(group, load, high, 1.0).requests_per_s * FULLEST < rate:
        return None
    low = 0.0
    for _ in range(3 * HALVINGS):
        middle = (low + high) / 2
        served = Steady(group, load, middle, 1.0).requests_per_s
        low, high = (middle, high) if served <= rate else (low, middle)
    return Steady(group, load, high, 1.0)
