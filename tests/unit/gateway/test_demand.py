"""What a worker tells of its queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.store.redis import StoreDown
from gateway.upstream.demand import Demand


class Store:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.down = False

    async def script(self, name: str, lua: str, keys: Sequence[str], words: Sequence[Any]) -> None:
        if self.down:
            raise StoreDown
        assert list(keys) == ["r1:demand:m"]
        self.told.append((words[0], words[1]))


async def test_a_queue_is_told_while_there_is_one_and_its_end_once() -> None:
    store: Any = Store()
    queue = iter([0, 0, 3, 3, 1, 0, 0, 0])
    looks = 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        # The store is away when the queue is first told as gone.
        store.down = looks == 5
        if looks == 8:
            raise asyncio.CancelledError

    demand = Demand(store, "m", "w1", lambda: next(queue), 1.0, sleep)
    task = asyncio.create_task(demand.run())
    await asyncio.wait([task])
    assert store.told == [("w1", 3), ("w1", 3), ("w1", 1), ("w1", 0)]
    assert looks == 8
