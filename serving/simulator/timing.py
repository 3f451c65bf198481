"""How long the steps of a simulated engine take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Step:
    """What one engine step computes.

    `prefill` counts prompt tokens, `decoding` sequences that get their next token, and `context`
    the tokens in the KV cache that these sequences attend to.
    """

    prefill: int
    decoding: int
    context: int


class Pace(Protocol):
    """What a simulated engine asks about time."""

    @property
    def off(self) -> bool:
        """Whether every step takes no time at all."""

    def seconds(self, steps: Sequence[Step]) -> float:
        """Duration of a step, one part for each rank."""


@dataclass(frozen=True)
class Timing:
    """Linear costs in seconds; all zero means that timing is off.

    A decode step reads the weights once whatever the batch (`step_s`), and each sequence's own KV
    cache (`per_context_token_s`); a prefill is compute, in proportion to its tokens. That is the
    roofline of a memory-bound decode and a compute-bound prefill with its terms made constants.
    """

    step_s: float = 0.0
    per_sequence_s: float = 0.0
    per_context_token_s: float = 0.0
    per_prefill_token_s: float = 0.0

    @property
    def off(self) -> bool:
        """Whether every step takes no time at all."""
        return not any(
            (
                self.step_s,
                self.per_sequence_s,
                self.per_context_token_s,
                self.per_prefill_token_s,
            )
        )

    def seconds(self, steps: Sequence[Step]) -> float:
        """Duration of a step, one part for each rank: all wait for the longest."""
        return self.step_s + max(
            self.per_sequence_s * step.decoding
            + self.per_context_token_s * step.context
            + self.per_prefill_token_s * step.prefill
            for step in steps
        )
