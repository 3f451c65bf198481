"""Sends what is recorded to an OTLP/HTTP collector behind the requests, and never makes one wait.

https://opentelemetry.io/docs/specs/otlp/#otlphttp, in batches, over the worker's own event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Generic, TypeVar

from gateway.http.client import HttpClient, Unreachable
from gateway.http.wire import Broken, NotHttp

# Encoded in one turn of the event loop: some hundred microseconds.
_BATCH = 64
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_TIMEOUT_S = 5.0
# Those after which the same may be sent again, as the protocol has it.
_LATER = (429, 502, 503, 504)

Item = TypeVar("Item")


class Collector(Generic[Item]):
    """Up to `most` items wait for a collector that is slow or away; more are dropped.

    The log has one line when that begins, and one when it is over that tells how many were lost.
    `url` is the collector's, without a path of its own for spans.
    """

    def __init__(
        self,
        http: HttpClient,
        url: str,
        encode: Callable[[Sequence[Item]], bytes],
        logger: logging.Logger,
        sleep: Callable[[float], Awaitable[None]],
        *,
        most: int = 2048,
    ) -> None:
        self._http = http
        self._url = url
        self._encode = encode
        self._logger = logger
        self._sleep = sleep
        self._most = most
        self._waiting: deque[Item] = deque()
        self._work = asyncio.Event()
        self._late = False
        self._lost = 0

    def add(self, item: Item) -> None:
        """Send this soon, or drop it."""
        if len(self._waiting) >= self._most:
            self._lost += 1
            self._behind("full")
            return
        self._waiting.append(item)
        self._work.set()

    async def run(self) -> None:
        """Send what waits, until cancelled."""
        pause_s = _PAUSE_S
        while True:
            await self._work.wait()
            await self._sleep(pause_s)
            sent = await self._send_all()
            pause_s = _PAUSE_S if sent else min(2 * pause_s, _LONGEST_PAUSE_S)

    async def flush(self, timeout_s: float) -> None:
        """Send what is left, if that can be done in time. Call it when `run` has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._send_all()

    async def _send_all(self) -> bool:
        """Send all that waits; False where the collector has to be tried again later."""
        status: int | None = None
        while self._waiting:
            batch = list(islice(self._waiting, _BATCH))
            status = await self._post(self._encode(batch))
            if status is None or status in _LATER:
                self._behind(status)
                return False
            for _ in batch:
                self._waiting.popleft()
            if status != 200:
                # It will not take them, ever.
                self._lost += len(batch)
                self._behind(status)
        self._work.clear()
        if status == 200:
            self._caught_up()
        return True

    async def _post(self, body: bytes) -> int | None:
        """The collector's HTTP status; None where there was no answer."""
        headers = {"content-type": "application/x-protobuf", "user-agent": "r1"}
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._http.ask(
                    self._url, "/v1/traces", headers, body, connect_s=_TIMEOUT_S
                )
                try:
                    while await response.piece():
                        pass
                    return response.status
                finally:
                    response.close()
        except (Unreachable, Broken, NotHttp, TimeoutError):
            return None

    def _behind(self, why: int | str | None) -> None:
        if not self._late:
            self._late = True
            self._logger.warning("spans_waiting", extra={"fields": {"why": why}})

    def _caught_up(self) -> None:
        if self._late:
            self._logger.info("spans_sent", extra={"fields": {"lost": self._lost}})
            self._late, self._lost = False, 0
