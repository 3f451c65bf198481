"""Faults that a simulated engine has when it is told to."""

from __future__ import annotations

import random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.simulator.answers import Manner
from serving.simulator.timing import Timing

Kind = Literal[
    "",
    "ill",  # /health says 503
    "die",  # the connection is reset before an answer
    "hang",  # no answer ever
    "garbage",  # a whole answer that is no JSON
    "short",  # a whole answer whose end is missing
    "first-error",  # an error event instead of the first token
    "error",  # from here on after `after` events of a stream: an error event and [DONE]
    "cut",  # a clean end without [DONE], as Ray Serve's proxy ends the stream of a killed replica
    "reset",  # the connection is reset
    "kill",  # this process kills itself
    "stall",  # silence
    "nonsense",  # an event that is no JSON
    "mangled",  # an event whose line begins with other bytes
    "no-done",  # the end of the stream without [DONE]
    "bytewise",  # every byte of a stream in a chunk of its own
]


class Controls(BaseModel):
    """What `POST /control` sets; fields that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    fault: Kind = ""
    status: int = Field(default=0, ge=0, le=599)  # an error status instead of an answer
    retry_after: str | None = None  # that goes with it
    share: float = Field(default=1.0, ge=0, le=1)  # of requests that have the fault or status
    after: int = Field(default=4, ge=0)  # events of a stream before the fault
    slow: float = Field(default=1.0, gt=0)  # factor on every step's time
    first_token_s: float = Field(default=0.0, ge=0)  # on top, before the first token
    detokenize_s: float = Field(default=0.0, ge=0)  # a busy processor
    step_s: float = Field(default=0.0, ge=0)
    per_sequence_s: float = Field(default=0.0, ge=0)
    per_context_token_s: float = Field(default=0.0, ge=0)
    per_prefill_token_s: float = Field(default=0.0, ge=0)
    per_event: int = Field(default=1, ge=1)  # tokens in one event of a stream
    drift: float = 0.0  # nats by which log-probabilities are wrong, as those of damaged weights are
    reasoning: str | None = None
    content: str | None = None
    tool: str | None = None  # requests with tools get a call of this one; content is its arguments
    loops: bool = False  # content is said until the limit, unless a repetition_penalty is asked for
    reasoning_tokens: int = Field(default=120, ge=0)
    content_tokens: int = Field(default=40, ge=0)

    def timing(self) -> Timing:
        """What steps cost."""
        return Timing(
            self.step_s * self.slow,
            self.per_sequence_s * self.slow,
            self.per_context_token_s * self.slow,
            self.per_prefill_token_s * self.slow,
        )

    def manner(self, *, penalised: bool = False) -> Manner:
        """What is said, with or without a penalty on repetitions."""
        return Manner(
            self.reasoning,
            self.content,
            self.reasoning_tokens,
            self.content_tokens,
            self.loops and not penalised,
        )

    def strikes(self, rng: random.Random) -> bool:
        """Whether this request has the fault."""
        return bool(self.fault or self.status) and rng.random() < self.share
