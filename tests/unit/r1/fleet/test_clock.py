"""Virtual time: what waits is done in order, in no time."""

from __future__ import annotations

import asyncio

import pytest

from r1.fleet import clock


def test_an_hour_passes_at_once_and_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        loop, seen = asyncio.get_running_loop(), []

        async def wait(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, round(loop.time(), 6)))

        await asyncio.gather(wait("late", 3600.0), wait("early", 0.5))
        return seen

    assert clock.run(main()) == [("early", 0.5), ("late", 3600.0)]


def test_a_wait_for_nothing_is_told_instead_of_hanging() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is due"):
        clock.run(main())
