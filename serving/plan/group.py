"""One engine group as a plan sees it: how long its steps take and how much it holds."""

from dataclasses import dataclass
from typing import Protocol

from serving.engine.memory import Layout
from serving.plan.figures import HardwareFigures, ModelFigures
from serving.plan.roofline import Factors, Step, Work, step, tokens_per_step


class Timed(Protocol):
    """What the queueing layer asks about an engine group."""

    @property
    def ranks(self) -> int:
        """Data-parallel ranks, each with a batch and a KV cache of its own."""

    @property
    def request_s(self) -> float:
        """Seconds of a request outside the engine's steps."""

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a step yields for each decoding sequence."""

    @property
    def max_batched_tokens(self) -> float:
        """Tokens that a rank computes in one step."""

    def seconds(self, work: Work) -> float:
        """Duration of a step."""

    def most_sequences(self, context: float) -> float:
        """Sequences of `context` tokens that a rank can hold at once."""


@dataclass(frozen=True, slots=True)
class Group:
    """A model spread over GPUs, with the limits that its engine runs under."""

    layout: Layout
    model: ModelFigures
    hardware: HardwareFigures
    factors: Factors
    drafts: int = 0
    overlap: bool = False
    max_num_seqs: float = 1024
    """Sequences that a data-parallel rank decodes together."""
    max_batched_tokens: float = 8192
    """Tokens that a rank computes in one step."""
    kv_tokens: float = float("inf")
    """Tokens of KV cache that a rank has."""

    @property
    def ranks(self) -> int:
        """Data-parallel ranks."""
        return self.layout.data

    @property
    def request_s(self) -> float:
        """Seconds of a request outside the engine's steps."""
        return self.factors.request_s

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a step yields for each decoding sequence, drafts included."""
        return tokens_per_step(self.drafts)

    def step(self, work: Work) -> Step:
        """What a step goes to, in seconds."""
        return step(
            work,
            self.layout,
            self.model,
            self.hardware,
            self.factors,
            drafts=self.drafts if work.decoding else 0,
            overlap=self.overlap,
        )

    def seconds(self, work: Work) -> float:
        """Duration of a step."""
        return self.step(work).seconds

    def most_sequences(self, context: float) -> float:
        """Sequences of `context` tokens that a rank can hold at once."""
        return min(self.max_num_seqs, self.kv_tokens / context)
