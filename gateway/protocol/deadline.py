"""How long a caller is willing to wait, as its headers say. Pure.

`x-request-timeout` is a deadline for the whole answer, in seconds. OpenAI's clients send the
longest silence that they bear between two reads, as `x-stainless-read-timeout`: for a stream that
bounds our own silence, for a whole answer, which comes in one read, it is the deadline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.errors import InvalidRequest

HEADER = "x-request-timeout"


@dataclass(frozen=True, slots=True)
class Waiting:
    """`total_s`: to the end of the answer; `silence_s`: between two signs of life."""

    total_s: float
    silence_s: float


def waiting(timeout: str | None, read_timeout: str | None, *, stream: bool) -> Waiting:
    """From the two headers; infinite where nothing is said. Raises InvalidRequest."""
    total = math.inf
    if timeout is not None:
        given = _seconds(timeout)
        if given is None:
            raise InvalidRequest(
                f"'{HEADER}' must be a number of seconds greater than 0, such as 30.", param=HEADER
            )
        total = given
    read = None if read_timeout is None else _seconds(read_timeout)
    if read is None:
        return Waiting(total, math.inf)
    return Waiting(total, read) if stream else Waiting(min(total, read), math.inf)


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value > 0 and math.isfinite(value) else None
