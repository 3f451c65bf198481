"""Two questions race: who wins, and what becomes of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import pytest

from gateway.model_settings import HedgeSettings
from gateway.protocol.request import parse
from gateway.upstream.hedge import pause_before_hedge, race

ended: list[str] = []


def runner(name: str, result: str | Exception, steps: int) -> Callable[[], Awaitable[str]]:
    """One that takes so many turns of the loop."""

    async def run() -> str:
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            ended.append(name)
            raise
        if isinstance(result, Exception):
            raise result
        return result

    return run


async def run(
    first: Callable[[], Awaitable[str]],
    second: Callable[[], Awaitable[str]] | None,
    pause_s: float = 0.0,
) -> str:
    ended.clear()

    async def joining() -> Callable[[], Awaitable[str]] | None:
        return second

    return await race(first, joining, pause_s)


async def test_the_faster_one_wins_and_the_other_is_cancelled() -> None:
    assert await run(runner("a", "a", 1000), runner("b", "b", 2)) == "b"
    assert ended == ["a"]


async def test_a_quick_answer_is_not_asked_for_twice() -> None:
    async def never() -> None:
        raise AssertionError("asked twice")

    assert await race(runner("a", "a", 2), never, 60) == "a"


async def test_without_another_server_the_first_is_waited_for() -> None:
    assert await run(runner("a", "a", 50), None) == "a"


async def test_a_failure_leaves_it_to_the_other() -> None:
    assert await run(runner("a", ValueError("a"), 5), runner("b", "b", 50)) == "b"
    assert await run(runner("a", "a", 50), runner("b", ValueError("b"), 5)) == "a"


async def test_when_both_fail_the_last_one_tells() -> None:
    with pytest.raises(ValueError, match="b"):
        await run(runner("a", ValueError("a"), 5), runner("b", ValueError("b"), 50))


async def test_a_failure_before_the_pause_is_over_is_for_retries() -> None:
    with pytest.raises(ValueError, match="a"):
        await run(runner("a", ValueError("a"), 2), runner("b", "b", 2), pause_s=60)


async def test_who_cancels_the_race_cancels_both() -> None:
    task = asyncio.create_task(run(runner("a", "a", 10**6), runner("b", "b", 10**6)))
    for _ in range(20):
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"max_tokens": 100}, 2.0),
        ({"max_tokens": 101}, None),
        ({}, None),
        ({"max_tokens": 10, "stream": True}, None),
    ],
)
def test_which_calls(body: dict[str, object], expected: float | None) -> None:
    raw = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], **body})
    asked = parse(raw, "chat", max_depth=8)
    settings = HedgeSettings(after_s=2.0, max_tokens=100)
    assert pause_before_hedge(asked, settings) == expected
    assert pause_before_hedge(asked, None) is None
