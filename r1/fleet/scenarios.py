"""Loads on one replica, and what its users are owed.

They and their targets were chosen before the batch window's policy was tuned, and are not changed
for its sake: what the policy does with them is in docs/benchmarks.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.simulator.timing import Timing

if TYPE_CHECKING:
    import random


@dataclass(frozen=True)
class Length:
    """A number of tokens: lognormal around `median`, between 1 and `most`."""

    median: int
    sigma: float
    most: int

    def draw(self, rng: random.Random) -> int:
        """One number of tokens."""
        drawn = rng.lognormvariate(math.log(self.median), self.sigma)
        return max(1, min(self.most, round(drawn)))


@dataclass(frozen=True)
class Kind:
    """A kind of request and its share of all."""

    prompt: Length
    answer: Length
    share: float = 1.0


@dataclass(frozen=True)
class Phase:
    """For `seconds`, requests come at random, `rate` of them a second on average."""

    seconds: float
    rate: float


@dataclass(frozen=True)
class Scenario:
    """An engine, its load and the targets.

    The load is a number of `users` who ask again as soon as they have their answer, or `phases`
    of random arrivals. What happens in the first `warm_up_s` does not count; `measured_s` does.
    """

    name: str
    timing: Timing
    kinds: tuple[Kind, ...]
    itl_s: float
    """Target of the ITL's 99th percentile."""
    ttft_s: float
    """Target of the replica's own TTFT: from the place given to the first token."""
    users: int = 0
    phases: tuple[Phase, ...] = ()
    capacity: int = 256
    kv_tokens: int = 4_000_000
    warm_up_s: float = 300.0
    measured_s: float = 900.0


# A large mixture-of-experts model: a step reads its weights, then a little for each sequence.
_LARGE = Timing(
    step_s=0.022,
    per_sequence_s=0.00035,
    per_context_token_s=20e-9,
    per_prefill_token_s=25e-6,
)
# A small one, cheap to batch.
_SMALL = Timing(
    step_s=0.008,
    per_sequence_s=0.00005,
    per_context_token_s=5e-9,
    per_prefill_token_s=10e-6,
)
_REASONING = Kind(Length(400, 0.6, 2000), Length(2000, 0.6, 8192))
_CHAT = Kind(Length(150, 0.5, 1000), Length(80, 0.6, 512))

HIGH = (
    # With no window 160 answers share a step and each token takes longer than it may.
    Scenario(
        "reasoning", _LARGE, (_REASONING,), users=160, itl_s=0.060, ttft_s=1.0,
        warm_up_s=400.0, measured_s=1200.0,
    ),
    # Batching costs next to nothing: a window of 4 wastes most of the engine.
    Scenario(
        "chat", _SMALL, (_CHAT,), users=96, capacity=128, itl_s=0.040, ttft_s=1.0,
        warm_up_s=60.0, measured_s=240.0,
    ),
    # Short and long answers, and a load that rises above the capacity and falls again.
    Scenario(
        "mixed",
        _LARGE,
        (
            Kind(_CHAT.prompt, _CHAT.answer, 0.7),
            Kind(Length(400, 0.6, 2000), Length(1000, 0.6, 8192), 0.3),
        ),
        phases=(Phase(300.0, 1.2), Phase(240.0, 4.5), Phase(660.0, 1.2)),
        itl_s=0.055,
        ttft_s=1.0,
        warm_up_s=120.0,
        measured_s=1080.0,
    ),
    # The KV cache holds some thirty answers: with more, one is thrown out to make room.
    Scenario(
        "small cache", _LARGE, (Kind(Length(400, 0.6, 2000), Length(800, 0.6, 4096)),), users=96,
        kv_tokens=32_000, itl_s=0.050, ttft_s=1.0, warm_up_s=200.0, measured_s=600.0,
    ),
)  # fmt: skip

LOW = (
    Scenario(
        "quiet reasoning", _LARGE, (_REASONING,), phases=(Phase(1800.0, 0.08),),
        itl_s=0.060, ttft_s=1.0, warm_up_s=300.0, measured_s=1500.0,
    ),
    Scenario(
        "quiet chat", _SMALL, (_CHAT,), phases=(Phase(360.0, 6.0),), capacity=128,
        itl_s=0.040, ttft_s=1.0, warm_up_s=60.0, measured_s=300.0,
    ),
)  # fmt: skip
