"""Tasks that have to end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway import endless


async def test_one_that_swallows_a_cancellation_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endless, "_AGAIN_S", 0.01)
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed += 1
        await asyncio.Event().wait()

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("on the way out")

    tasks = [asyncio.create_task(each()) for each in (deaf, failing)]
    await asyncio.sleep(0)
    await endless.end(tasks)
    assert swallowed == 1
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), ValueError)


async def test_none_is_ended_at_once() -> None:
    await endless.end([])
