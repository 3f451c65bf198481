"""A call as entries of Locust's tables: TTFT, ITL, TPOT, E2E, tokens, its end, right or wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locust.env import Environment

    from loadtests.client.call import Call

Entry = tuple[str, float, int, Exception | None]
"""Name, milliseconds (or tokens), length, and the failure."""
_AT_ONCE = 200


class Failed(Exception):
    """A call that a user did not mean to go so."""


def record(environment: Environment, call: Call) -> None:
    """Fire its entries; in between other users have their turn."""
    request: Any = environment.events.request
    for number, (name, value, length, error) in enumerate(entries(call), 1):
        request.fire(
            request_type=call.kind,
            name=name,
            response_time=value,
            response_length=length,
            exception=error,
            context={},
        )
        if number % _AT_ONCE == 0:
            gevent.sleep(0)


def entries(call: Call) -> Iterator[Entry]:
    """What a call adds to the tables. Times are in milliseconds from when it was due."""
    if call.first is not None:
        yield "TTFT", call.ttft * 1000, 0, None
    for gap in call.gaps:
        yield "ITL", gap * 1000, 0, None
    if call.completed:
        yield "E2E", call.e2el * 1000, call.said.completion_tokens, None
        yield "tokens", float(call.said.completion_tokens), call.said.completion_tokens, None
        if call.tpot is not None:
            yield "TPOT", call.tpot * 1000, 0, None
    error = Failed(call.message or call.ending) if call.failed else None
    yield f"ended: {call.ending}", call.e2el * 1000, 0, error
    if call.right is not None:
        wrong = None if call.right else Failed("another answer than the sum's")
        yield f"answer: {'right' if call.right else 'wrong'}", call.e2el * 1000, 0, wrong
