"""The data-parallel ranks of one engine: a scheduler each, steps in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.simulator.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from serving.simulator.blocks import Blocks
    from serving.simulator.scheduler import Limits, Output, Sequence
    from serving.simulator.timing import Step


class Ranks:
    """One scheduler a rank; a new sequence goes to the one that has fewest.

    vLLM's own balancer counts a waiting sequence four times, so that a rank without room gets none.
    """

    def __init__(
        self,
        blocks: Iterable[Blocks],
        limits: Limits,
        accepted: Callable[[], int] | None = None,
    ) -> None:
        """Args: `blocks` of each rank; `accepted` tells how many drafts of a step are kept."""
        self.schedulers = [Scheduler(each, limits, accepted) for each in blocks]
        self._home: dict[Sequence, Scheduler] = {}

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence.

        Raises:
            ValueError: it would never fit into a rank's cache.
        """
        least = min(self.schedulers, key=lambda rank: len(rank.running) + 4 * len(rank.waiting))
        least.add(sequence)
        self._home[sequence] = least

    def abort(self, sequence: Sequence) -> None:
        """Forget a sequence; one that is unknown is no fault."""
        home = self._home.pop(sequence, None)
        if home is not None:
            home.abort(sequence)

    def plan(self, tokens_per_step: int | None = None) -> list[Step]:
        """Choose what the next step computes on each rank."""
        return [each.plan(tokens_per_step) for each in self.schedulers]

    def complete(self) -> Iterator[Output]:
        """End the planned step on all ranks."""
        for scheduler in self.schedulers:
            for output in scheduler.complete():
                if output.finished:
                    del self._home[output.sequence]
                yield output

    @property
    def capacity(self) -> int:
        """Sequences that all ranks decode together at most."""
        return sum(each.limits.sequences for each in self.schedulers)

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return any(each.busy for each in self.schedulers)

    @property
    def running(self) -> list[Sequence]:
        """Sequences in the batches."""
        return [sequence for each in self.schedulers for sequence in each.running]

    @property
    def waiting(self) -> list[Sequence]:
        """Sequences that wait for a place."""
        return [sequence for each in self.schedulers for sequence in each.waiting]

    @property
    def used_share(self) -> float:
        """Blocks in use over all blocks, 0 to 1."""
        return sum(each.used_share for each in self.schedulers) / len(self.schedulers)

    @property
    def preemptions(self) -> int:
        """Sequences that had to start over."""
        return sum(each.preemptions for each in self.schedulers)

    @property
    def queried(self) -> int:
        """Prompt tokens looked up in the prefix cache."""
        return sum(each.queried for each in self.schedulers)

    @property
    def found(self) -> int:
        """Of these, the ones found there."""
        return sum(each.found for each in self.schedulers)
