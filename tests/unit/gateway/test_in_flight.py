"""What requests are told that a worker can't wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from gateway.call import Call, Message
from gateway.errors import ShuttingDown
from gateway.in_flight import InFlight


def make_call() -> Call:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        return None

    scope: dict[str, Any] = {"headers": []}
    return Call(scope, receive, send, api="chat", now=lambda: 0.0, make_id=lambda: "id")


class Request:
    """A request that takes until it is ended; `told` is what the caller hears then."""

    def __init__(self, in_flight: InFlight) -> None:
        self.call = make_call()
        self.told: ShuttingDown | None = None
        self._in_flight = in_flight
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        self._in_flight.enter(self.call)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.told = self._in_flight.cut()
            # It is not cancelled any more: there is time for the error.
            await asyncio.sleep(0)
        finally:
            self._in_flight.leave(self.call)


@pytest.fixture
async def request_in_flight() -> AsyncIterator[tuple[InFlight, Request]]:
    in_flight = InFlight()
    made = Request(in_flight)
    await asyncio.sleep(0)
    yield in_flight, made
    made.task.cancel()
    with suppress(asyncio.CancelledError):
        await made.task


async def test_the_end_is_told_to_those_who_wait(
    request_in_flight: tuple[InFlight, Request],
) -> None:
    in_flight, waiting = request_in_flight
    assert in_flight.end() == 1
    await waiting.task
    assert waiting.told is not None
    assert (waiting.told.status, waiting.told.code, waiting.told.retry) == (
        503,
        "shutting_down",
        True,
    )
    with pytest.raises(ShuttingDown):
        in_flight.enter(make_call())


async def test_who_has_the_whole_answer_is_told_nothing(
    request_in_flight: tuple[InFlight, Request],
) -> None:
    in_flight, done = request_in_flight
    done.call.complete = True
    assert in_flight.end() == 0
    await asyncio.sleep(0)
    assert not done.task.done()


async def test_another_cancellation_stays_one(request_in_flight: tuple[InFlight, Request]) -> None:
    _, cancelled = request_in_flight
    cancelled.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled.task
