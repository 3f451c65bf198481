"""Giving a caller an answer that was not made for it alone."""

from __future__ import annotations

from gateway.cache.entry import Entry
from gateway.cache.flight import Flight
from gateway.cache.usage import as_cached, cached
from gateway.call import Call
from gateway.router import Router
from gateway.telemetry import first_token
from gateway.telemetry.metrics import Metrics

# All of the prompt was cached; metrics put it where the shortest ones are.
_SHORTEST_PROMPT = 1


async def replay(call: Call, entry: Entry, result: str, age_s: float, metrics: Metrics) -> None:
    """A kept answer; `result` is hit or stale."""
    call.cache_result = result
    call.notes.append(_age(age_s))
    call.usage = cached(entry.usage)
    if not call.asked.stream:
        await call.reply(200, entry.body)
        return
    _first_token(call, metrics)
    await call.start_stream()
    await call.end(entry.body)


async def play(call: Call, flight: Flight, router: Router, now: float, metrics: Metrics) -> None:
    """A flight's answer as it comes. Raises what the flight failed with."""
    stream = call.asked.stream
    own: bool | None = None
    async for data in flight.tape.read():
        if own is None:
            own = _begin(call, flight, router, now, metrics)
        if stream:
            await call.start_stream()
            call.complete = flight.complete
            await call.write(data if own else as_cached(data, stream=True))
    if stream:
        await call.finish()
    else:
        body = flight.tape.body()
        await call.reply(200, body if own else as_cached(body, stream=False))


def _begin(call: Call, flight: Flight, router: Router, now: float, metrics: Metrics) -> bool:
    """Say in the headers what the answer is; True if it was made for this call."""
    if flight.inner is not None and call is flight.origin:
        call.adopt(flight.inner)
        return True
    call.cache_result = "coalesced" if flight.replayed is None else "hit"
    if flight.replayed is not None:
        call.notes.append(_age(now - flight.replayed.stored))
    if flight.model != call.model.id:
        call.model = router.find(flight.model)
    if call.asked.stream:
        _first_token(call, metrics)
    return False


def _first_token(call: Call, metrics: Metrics) -> None:
    call.first_token_s = call.elapsed()
    first_token.count(call, metrics, _SHORTEST_PROMPT)


def _age(seconds: float) -> tuple[bytes, bytes]:
    return b"age", str(max(0, int(seconds))).encode()
