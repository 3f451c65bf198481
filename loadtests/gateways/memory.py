"""What a gateway's worker takes of the memory, at rest and with many streams."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.gateways.loads import paced

if TYPE_CHECKING:
    from loadtests.gateways.targets import Target


@dataclass(frozen=True)
class Memory:
    """In bytes; `worker` is the private and proportional memory of one worker."""

    worker: float

    @staticmethod
    def of(target: Target) -> Memory:
        """Now, of the largest worker."""
        sizes = [each.memory_full_info().pss for each in target.workers()]
        return Memory(max(sizes))


@dataclass(frozen=True)
class Grown:
    """Bytes with no stream, and with some that are live."""

    before: float
    after: float
    streams: int

    @property
    def per_stream(self) -> float:
        """Bytes of one live stream."""
        return (self.after - self.before) / self.streams


async def live_streams(target: Target, streams: int) -> Grown:
    """How much a worker grows by so many live streams, each of 5 tokens/s."""
    before = Memory.of(target).worker
    running = asyncio.create_task(paced(target.address, streams, 10.0, rate=5, tokens=100))
    # All have come, and the first has not ended.
    await asyncio.sleep(15)
    after = Memory.of(target).worker
    await running
    return Grown(before, after, streams)
