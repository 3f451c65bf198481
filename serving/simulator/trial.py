"""A load played on simulated ranks in virtual time: no HTTP, no clock, an hour in a second."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from serving.simulator.scheduler import Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.simulator.ranks import Ranks
    from serving.simulator.timing import Pace


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and an answer of so many tokens, asked for at a time in seconds."""

    at_s: float
    prompt: int
    answer: int


@dataclass
class Seen:
    """What users saw. Times in seconds."""

    ttft_s: list[float] = field(default_factory=list)
    gap_s: list[float] = field(default_factory=list)
    """Between two steps that brought tokens of an answer."""
    e2e_s: list[float] = field(default_factory=list)
    tpot_s: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        """Answer tokens over the whole time."""
        return self.tokens / self.seconds


def quantile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; 0 where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def play(ranks: Ranks, pace: Pace, requests: Iterator[Request], users: int = 0) -> Seen:
    """Play requests until all have their answers.

    Args:
        ranks: of the engine, idle.
        pace: how long steps take.
        requests: in the order of their times.
        users: if above 0, so many requests are in flight: a new one comes when one ends, and
            their own times do not count.
    """
    seen, now = Seen(), 0.0
    coming = deque[Request]()
    began: dict[Sequence, float] = {}
    last: dict[Sequence, float] = {}
    first: dict[Sequence, float] = {}
    names = count(1)

    def ask(request: Request) -> None:
        # Tokens that nobody else has: prefixes are not shared.
        sequence = Sequence([next(names)] * (request.prompt + request.answer), request.prompt)
        ranks.add(sequence)
        began[sequence] = now if users else request.at_s

    def fetch() -> None:
        while (len(began) < users if users else not coming) and (
            each := next(requests, None)
        ) is not None:
            if users:
                ask(each)
            else:
                coming.append(each)

    fetch()
    while ranks.busy or coming:
        if not ranks.busy:
            now = max(now, coming[0].at_s)
        while coming and coming[0].at_s <= now:
            ask(coming.popleft())
            fetch()
        now += pace.seconds(ranks.plan())
        for output in ranks.complete():
            sequence, tokens = output.sequence, output.last - output.first
            seen.tokens += tokens
            if sequence in last:
                seen.gap_s.append(now - last[sequence])
            else:
                first[sequence] = now
                seen.ttft_s.append(now - began[sequence])
            last[sequence] = now
            if output.finished:
                answer = len(sequence.tokens) - sequence.prompt
                seen.e2e_s.append(now - began.pop(sequence))
                seen.tpot_s.append((now - first.pop(sequence)) / max(1, answer - 1))
                del last[sequence]
        fetch()
    seen.seconds = now
    return seen
