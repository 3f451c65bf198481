"""Continuous batching as vLLM's V1 scheduler does it: no clock, no I/O.

Each step, running sequences come first; one that finds no free block preempts the youngest, which
starts over later. What is left of the step's token budget prefills waiting sequences in order of
arrival, in chunks where a prompt is longer than the budget.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from serving.simulator.timing import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving.simulator.blocks import Blocks


@dataclass(frozen=True)
class Limits:
    """vLLM's max_num_seqs and max_num_batched_tokens, and the tokens that a decode step yields.

    More than one token a step is what multi-token prediction does, as far as drafts are accepted.
    """

    sequences: int = 256
    batched_tokens: int = 8192
    tokens_per_step: int = 1


@dataclass(eq=False)
class Sequence:
    """One sequence: `tokens` holds its prompt and the whole answer that it is going to give."""

    tokens: list[int]
    prompt: int
    salt: str = ""
    known: int = 0  # tokens that prompt and answer so far have
    computed: int = 0  # tokens whose keys and values are in the cache
    cached: int = 0  # prompt tokens that the cache had at the first start
    preemptions: int = 0
    blocks: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    named: int = 0  # leading blocks that are known by their keys

    def __post_init__(self) -> None:
        self.known = self.known or self.prompt


class Output(NamedTuple):
    """Answer tokens `tokens[first:last]` of a sequence came out of a step."""

    sequence: Sequence
    first: int
    last: int
    finished: bool


class Scheduler:
    """Decides what each step computes."""

    def __init__(
        self, blocks: Blocks, limits: Limits, accepted: Callable[[], int] | None = None
    ) -> None:
        """Args: `accepted` tells how many drafts of a sequence's step are kept; None: all."""
        self.blocks = blocks
        self.limits = limits
        self._accepted = accepted
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0
        self.queried = 0  # prompt tokens looked up in the prefix cache, and those found there
        self.found = 0
        self._planned: list[tuple[Sequence, int]] = []
        self._ahead = 0  # tokens of the planned step beyond the first of each sequence

    @property
    def used_share(self) -> float:
        """Blocks in use over all blocks, 0 to 1."""
        return self.blocks.used_share

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self.running or self.waiting)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence.

        Raises:
            ValueError: it would never fit into the cache.
        """
        room = self.blocks.count * self.blocks.size
        if len(sequence.tokens) > room:
            raise ValueError(f"{len(sequence.tokens)} tokens never fit into {room} of KV cache")
        self.waiting.append(sequence)

    def abort(self, sequence: Sequence) -> None:
        """Forget a sequence, wherever it is; one that is unknown is no fault."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._planned = [each for each in self._planned if each[0] is not sequence]

    def plan(self, tokens_per_step: int | None = None) -> Step:
        """Choose what the next step computes, and take the blocks for it.

        It yields `tokens_per_step` for each sequence, if that is given instead of the limits'.
        """
        budget = self.limits.batched_tokens
        self._planned = []
        self._ahead = (tokens_per_step or self.limits.tokens_per_step) - 1
        preempted = self.preemptions
        place = 0
        while place < len(self.running) and budget > 0:
            sequence = self.running[place]
            count = min(sequence.known - sequence.computed, budget)
            if not self._room(sequence, count):
                break
            budget -= count
            self._planned.append((sequence, count))
            place += 1
        if self.preemptions == preempted:
            self._admit(budget)
        prefill = decoding = context = 0
        for sequence, count in self._planned:
            context += sequence.computed
            if sequence.computed + count == sequence.known and count == 1:
                decoding += 1
            else:
                prefill += count
        return Step(prefill, decoding, context)

    def complete(self) -> Iterator[Output]:
        """End the planned step: whoever is computed to its end gets its next tokens."""
        for sequence, count in self._planned:
            sequence.computed += count
            self._name_full_blocks(sequence)
            if sequence.computed < sequence.known:
                continue
            first = sequence.known
            drafts = self._ahead if self._accepted is None else min(self._accepted(), self._ahead)
            last = min(first + drafts + 1, len(sequence.tokens))
            sequence.known, sequence.computed = last, last - 1
            finished = last == len(sequence.tokens)
            if finished:
                self.running.remove(sequence)
                self._release(sequence)
            yield Output(sequence, first, last, finished)
        self._planned = []

    def _admit(self, budget: int) -> None:
        while self.waiting and budget > 0 and len(self.running) < self.limits.sequences:
            sequence = self.waiting[0]
            # The last token is computed in any case: its logits are the next token's.
            full = (sequence.known - 1) // self.blocks.size
            sequence.blocks = self.blocks.share(self._key(sequence, i) for i in range(full))
            sequence.named = len(sequence.blocks)
            sequence.computed = sequence.named * self.blocks.size
            count = min(sequence.known - sequence.computed, budget)
            taken = self._take(sequence, count)
            if taken is None:
                self._release(sequence)
                return
            if not sequence.preemptions:
                sequence.cached = sequence.computed
                self.queried += sequence.prompt
                self.found += sequence.cached
            self.waiting.popleft()
            self.running.append(sequence)
            budget -= count
            self._planned.append((sequence, count))

    def _room(self, sequence: Sequence, count: int) -> bool:
        """Take blocks for `count` more tokens, preempting others; False if it had to go itself."""
        while self._take(sequence, count) is None:
            victim = self.running.pop()
            victim.preemptions += 1
            self.preemptions += 1
            self._release(victim)
            self.waiting.appendleft(victim)
            if victim is sequence:
                return False
        return True

    def _take(self, sequence: Sequence, count: int) -> list[int] | None:
        ahead = self._ahead
        end = min(sequence.computed + count + ahead, len(sequence.tokens))
        missing = -(-end // self.blocks.size) - len(sequence.blocks)
        taken = self.blocks.take(max(0, missing))
        if taken is not None:
            sequence.blocks += taken
        return taken

    def _release(self, sequence: Sequence) -> None:
        self.blocks.release(sequence.blocks)
        sequence.blocks = []
        sequence.computed = 0

    def _name_full_blocks(self, sequence: Sequence) -> None:
        full = sequence.computed // self.blocks.size
        for i in range(sequence.named, full):
            self.blocks.name(sequence.blocks[i], self._key(sequence, i))
        sequence.named = max(sequence.named, full)

    def _key(self, sequence: Sequence, place: int) -> int:
        """Key of block `place`: its tokens and all before them, apart for each cache salt."""
        keys, size = sequence.keys, self.blocks.size
        while len(keys) <= place:
            start = len(keys) * size
            before = keys[-1] if keys else hash(sequence.salt)
            keys.append(hash((before, tuple(sequence.tokens[start : start + size]))))
        return keys[place]
