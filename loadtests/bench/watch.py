"""The batch window of r1's gateway while a load goes, read from its metrics once a second."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.error
import urllib.request
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMES = ("r1_batch_window", "r1_inflight_requests", "r1_queue_depth")
_SAMPLE = re.compile(rf"^({'|'.join(NAMES)})(?:\{{(.*)\}})? (\S+)", re.MULTILINE)
_EVERY_S = 1.0
_TIMEOUT_S = 5.0


@dataclass
class Watch:
    """Samples as (seconds since the load's beginning, value), by the metric's name."""

    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    missed: int = 0
    """Times that nobody answered."""

    def take(self, text: str, at: float) -> None:
        """Add a page of metrics, summed over models and classes."""
        sums: dict[str, float] = {}
        for name, _, value in _SAMPLE.findall(text):
            sums[name] = sums.get(name, 0.0) + float(value)
        for name, value in sums.items():
            self.samples.setdefault(name, []).append((at, value))


@asynccontextmanager
async def watching(url: str | None) -> AsyncIterator[Watch]:
    """Watch the admin port at `url` meanwhile; None: nobody is asked."""
    watch = Watch()
    if url is None:
        yield watch
        return
    task = asyncio.create_task(_look(url, watch))
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _look(url: str, watch: Watch) -> None:
    began = time.perf_counter()
    while True:
        try:
            text = await asyncio.to_thread(_read, url)
            watch.take(text, time.perf_counter() - began)
        except (OSError, ValueError):
            watch.missed += 1
        await asyncio.sleep(_EVERY_S)


def _read(url: str) -> str:
    # No proxy of the environment stands between a test and its server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url.rstrip('/')}/metrics", timeout=_TIMEOUT_S) as answer:
        text: str = answer.read().decode()
        return text
