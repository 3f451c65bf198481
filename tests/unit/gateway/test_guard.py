"""Who ends a request's work, and when its caller may leave."""

from __future__ import annotations

import asyncio

import pytest

from gateway.call import Call, Message
from gateway.errors import ClientDisconnected, UpstreamTimeout
from gateway.guard import Guard


class Caller:
    """A call whose client leaves when it is told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.sent = b""
        self.call = Call(
            {"headers": []}, self._receive, self._send, api="chat", now=float, make_id=lambda: "x"
        )

    async def _receive(self) -> Message:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent += message.get("body", b"")

    def guard(self, *, total_s: float = 60.0) -> Guard:
        return Guard(self.call, keepalive_s=60.0, total_s=total_s, too_late=UpstreamTimeout("late"))


async def test_a_caller_who_leaves_ends_the_work() -> None:
    caller = Caller()
    caller.leaves.set()
    with pytest.raises(ClientDisconnected):
        async with caller.guard():
            await asyncio.sleep(60)


async def test_who_has_the_whole_answer_may_leave() -> None:
    caller = Caller()
    async with caller.guard():
        await caller.call.end(b"all of it")
        caller.leaves.set()
        for _ in range(5):
            await asyncio.sleep(0)
    assert caller.sent == b"all of it"


async def test_time_that_is_up_ends_the_work() -> None:
    with pytest.raises(UpstreamTimeout, match="late"):
        async with Caller().guard(total_s=0.01):
            await asyncio.sleep(60)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_slow_reader_is_not_looked_at_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    held = asyncio.Event()

    async def stuck(message: Message) -> None:
        await held.wait()

    call = Call(
        {"headers": []},
        Caller()._receive,
        stuck,
        api="chat",
        now=asyncio.get_running_loop().time,
        make_id=lambda: "x",
    )

    async def counted() -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(call, "keep_alive", counted)
    async with Guard(call, keepalive_s=0.1, total_s=60.0, too_late=UpstreamTimeout("late")):
        writing = asyncio.create_task(call.write(b"much"))
        # Twenty times as long as a look takes where it is asked for again at once.
        await asyncio.sleep(0.35)
        held.set()
        await writing
    assert 1 <= looks <= 4
