"""What callers' headers say of their patience, and how silence and lateness end work."""

from __future__ import annotations

import asyncio
import math

import pytest

from gateway.errors import InvalidRequest, UpstreamTimeout
from gateway.patience import Patience
from gateway.protocol.deadline import Waiting, waiting


@pytest.mark.parametrize(
    ("timeout", "read", "stream", "expected"),
    [
        (None, None, False, Waiting(math.inf, math.inf)),
        ("30", None, True, Waiting(30, math.inf)),
        ("2.5", "600", True, Waiting(2.5, 600)),
        # A whole answer comes in one read.
        (None, "600", False, Waiting(600, math.inf)),
        ("900", "600", False, Waiting(600, math.inf)),
        ("5", "600.0", False, Waiting(5, math.inf)),
        # What a client library writes is not its user's fault.
        (None, "NOT_GIVEN", False, Waiting(math.inf, math.inf)),
    ],
)
def test_headers(timeout: str | None, read: str | None, stream: bool, expected: Waiting) -> None:
    assert waiting(timeout, read, stream=stream) == expected


@pytest.mark.parametrize("timeout", ["", "0", "-1", "nan", "inf", "30s"])
def test_a_timeout_that_is_none(timeout: str) -> None:
    with pytest.raises(InvalidRequest, match="number of seconds") as error:
        waiting(timeout, None, stream=False)
    assert error.value.param == "x-request-timeout"


class TestPatience:
    async def test_silence_ends_the_wait(self) -> None:
        with pytest.raises(UpstreamTimeout):
            async with Patience(0.01):
                await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    async def test_whoever_is_heard_may_go_on(self) -> None:
        async with Patience(60) as patience:
            patience.limit(0.2)
            for _ in range(10):
                await asyncio.sleep(0.03)
                patience.heard()

    async def test_another_cancellation_is_not_taken_for_silence(self) -> None:
        async def wait() -> None:
            async with Patience(0.01):
                await asyncio.sleep(60)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_both_at_once(self) -> None:
        """In one turn of the loop: the outer wish to end wins over the inner complaint."""

        async def wait() -> None:
            async with Patience(60) as patience:
                patience.limit(1e-9)
                asyncio.get_running_loop().call_soon(task.cancel)
                await asyncio.sleep(60)

        task = asyncio.create_task(wait())
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_a_fault_stays_itself(self) -> None:
        with pytest.raises(ValueError, match="x"):
            async with Patience(60):
                raise ValueError("x")

    async def test_nobody_waits_long_for_who_is_gone(self) -> None:
        looks = iter((False, True))
        with pytest.raises(UpstreamTimeout):
            async with Patience(60, gone=lambda: next(looks), gone_s=0.01):
                await asyncio.sleep(60)
        assert list(looks) == []

    async def test_who_is_heard_is_not_taken_for_gone(self) -> None:
        async with Patience(60, gone=lambda: True, gone_s=0.5) as patience:
            for _ in range(8):
                await asyncio.sleep(0.1)
                patience.heard()

    async def test_a_long_silence_of_who_is_not_gone_ends_as_without(self) -> None:
        asked = []

        def gone() -> bool:
            asked.append(True)
            return False

        with pytest.raises(UpstreamTimeout):
            async with Patience(0.1, gone=gone, gone_s=0.01):
                await asyncio.sleep(60)
        assert asked
