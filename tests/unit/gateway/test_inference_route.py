"""What is left of a call when its answer was given."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

from gateway.api.inference import InferenceRoute
from gateway.call import Call, Message
from gateway.errors import InvalidRequest
from gateway.in_flight import InFlight
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files
from gateway.telemetry.spans import NoSpans, Tracing
from gateway.telemetry.trace import UNTRACED


class Refusing:
    """A pipeline that refuses everyone."""

    async def run(self, call: Call) -> None:
        raise InvalidRequest("no")


class Line:
    """A connection's two ends."""

    async def receive(self) -> Message:
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Nobody reads it."""


async def test_a_refused_call_does_not_hold_its_connection() -> None:
    """Not even until the next collection of garbage: callers may have the gateway refuse many."""
    pipeline: Any = Refusing()
    route = InferenceRoute(
        "chat",
        pipeline,
        Metrics(Meter(Sheet(make_files()))),
        logging.getLogger("test.route"),
        Tracing(lambda headers: UNTRACED, NoSpans()),
        InFlight(),
        now=float,
        make_id=lambda: "id",
    )
    line = Line()
    held = weakref.ref(line)
    gc.disable()
    try:
        await route({"type": "http", "headers": []}, line.receive, line.send)
        del line
        assert held() is None
    finally:
        gc.enable()
