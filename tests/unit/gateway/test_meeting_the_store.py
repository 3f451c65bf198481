"""A new worker serves once its store has answered, and without one when that takes too long."""

from __future__ import annotations

from typing import cast

import pytest

from gateway import app
from gateway.store.redis import Store


class Slow:
    """Answers from the attempt `after` on."""

    def __init__(self, after: float) -> None:
        self.asked = 0
        self._after = after

    async def met(self) -> bool:
        self.asked += 1
        return self.asked >= self._after


async def met(store: Slow) -> int:
    await app._meet(cast(Store, store))
    return store.asked


async def test_it_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_MEET_AGAIN_S", 0.001)
    assert await met(Slow(1)) == 1
    assert await met(Slow(4)) == 4


async def test_without_an_answer_it_serves_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_MEET_S", 0.3)
    assert await met(Slow(float("inf"))) == 3
