"""The configuration of the batch window and of the queue in front of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.settings_types import Seconds, Section, off


class Batching(Section):
    """The batch window of each replica, and the queue in front of a model.

    `auto`: the window begins where the rate of arrivals puts it and then follows what users see;
    `strict`: the rate alone gives it; `off`: no window and no queue.
    """

    mode: Annotated[Literal["auto", "strict", "off"], BeforeValidator(off)] = "auto"
    low_qps: Annotated[float, Field(ge=0)] = 10.0
    """Arrivals a second and replica up to which the window begins at `low_window`."""
    low_window: Annotated[int, Field(ge=1)] = 4
    high_qps: Annotated[float, Field(gt=0)] = 100.0
    """Arrivals a second and replica from which on the window begins at `high_window`."""
    high_window: Annotated[int, Field(ge=1)] = 32
    capacity: Annotated[int, Field(ge=1)] = 256
    """The largest window of a replica that does not tell how many sequences it runs at once."""
    itl_s: Seconds = 0.2
    """The ITL that 99 of 100 tokens are to keep."""
    ttft_s: Seconds = 1.0
    """The time from the place given to the first token that 95 of 100 prompts of up to 2k tokens
    are to keep."""
    margin: Annotated[float, Field(gt=0, le=1)] = 0.97
    """Share of the ITL's target that the window aims at."""
    increase: Annotated[float, Field(gt=0)] = 4.0
    """Least raise of the window in one interval where there surely is room."""
    probe: Annotated[float, Field(ge=0, lt=1)] = 0.002
    """Part of the window that is added in an interval while somebody waits and targets are met."""
    decrease: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Least part of the window that is left after an interval in which a target was missed."""
    interval_s: Seconds = 0.5
    """How often the window is looked at."""
    memory_s: Seconds = 300.0
    """Over how long a time the ITL's target is to be kept."""
    queue: Annotated[int, Field(ge=0)] = 1000
    """Requests that may wait in one worker."""
    longest_wait_s: Seconds = 60.0
    """Who would have to wait longer is told at once, with the time to come back."""
    aging_s: Seconds = 10.0
    """Wait that makes up for the lowest priority."""
    reserve_s: Annotated[float, Field(ge=0)] = 60.0
    """How long places are kept from those who have their share already and ask for far more, for
    those who were here and may come back."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Batching:
        if self.low_qps >= self.high_qps:
            raise ValueError("low_qps: must be below high_qps; the window grows between them")
        if self.low_window > self.high_window:
            raise ValueError("low_window: must not be above high_window")
        return self
