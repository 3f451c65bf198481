"""What a request and its attempts tell of themselves when they are over: for traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.call import Call, Header
from gateway.errors import GatewayError
from gateway.telemetry.trace import Trace
from gateway.upstream.visit import Visit


class Spans(Protocol):
    """Hears of requests and attempts. Neither prompts nor answers are anything of its."""

    def request(self, call: Call, status: int, error: GatewayError | None) -> None:
        """A request is over; `status` as in the metrics."""

    def attempt(self, call: Call, visit: Visit, began_s: float, outcome: str) -> None:
        """An attempt that began `began_s` after its request came is over."""


class NoSpans:
    """Nobody wants to know."""

    def request(self, call: Call, status: int, error: GatewayError | None) -> None:
        """Nothing."""

    def attempt(self, call: Call, visit: Visit, began_s: float, outcome: str) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Gives a request its trace, and hears of it when it is over."""

    follow: Callable[[Sequence[Header]], Trace]
    spans: Spans
