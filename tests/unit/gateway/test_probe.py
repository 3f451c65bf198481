"""What looks at an upstream's health change."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from gateway.upstream.dialects.vllm import Vllm
from gateway.upstream.pool import Upstream
from gateway.upstream.probe import Probe, watches


class Over(Exception):
    """No more looks."""


class Client:
    """Finds what it is told to find."""

    def __init__(self, looks: list[bool]) -> None:
        self._looks: Iterator[bool] = iter(looks)
        self.learned = 0

    async def healthy(self, upstream: Upstream, timeout_s: float) -> bool:
        for look in self._looks:
            return look
        raise Over

    async def learn(self, upstream: Upstream, timeout_s: float) -> None:
        self.learned += 1


class Watcher:
    def upstream_up(self, model: str, upstream: str, up: bool) -> None:
        pass


@pytest.mark.parametrize(
    ("looks", "since", "learned"),
    [
        ([True, True], -math.inf, 1),
        ([False, True, True], 7.0, 1),
        ([True, False, False, True], 7.0, 2),
    ],
)
async def test_one_that_recovers_starts_slowly_and_is_learned_anew(
    looks: list[bool], since: float, learned: int
) -> None:
    client: Any = Client(looks)
    model: Any = type("Model", (), {"id": "m"})
    upstream = Upstream("a", "http://a", "m", 1.0, None, Vllm())

    async def sleep(seconds: float) -> None:
        assert seconds == (5.0 if upstream.up else 1.0)

    probe = Probe(client, Watcher(), logging.getLogger("test"), sleep, lambda: 7.0)
    with pytest.raises(Over):
        await probe.watch(model, upstream, 5.0)
    assert (upstream.up, upstream.since, client.learned) == (True, since, learned)


def test_what_wakes_a_model_is_not_looked_at() -> None:
    replica = Upstream("a", "http://a", "m", 1.0, None, Vllm())
    spare = Upstream("b", "http://b", "m", 1.0, None, Vllm(), spare=True)
    model: Any = type("Model", (), {"id": "m", "upstreams": (replica, spare)})
    client: Any = Client([])
    probe = Probe(client, Watcher(), logging.getLogger("test"), asyncio.sleep, lambda: 7.0)
    (watch,) = watches(probe, [model], 5.0)
    assert isinstance(watch, partial)
    assert watch.args == (model, replica, 5.0)
