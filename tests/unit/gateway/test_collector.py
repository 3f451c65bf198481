"""Sending spans: in batches, bounded, and with few words when it can't be done."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.http.client import HttpClient
from gateway.telemetry.collector import Collector
from gateway.upstream.client import make_http


class Bench:
    """A collector's server that answers what it is told to, and who sends to it."""

    collector: Collector[str]

    def __init__(self, http: HttpClient) -> None:
        self.http = http
        self.statuses: list[int] = []
        self.got: list[str] = []
        self.pauses: list[float] = []

    def sender(self, url: str) -> Collector[str]:
        return Collector(
            self.http, url, self.encode, logging.getLogger("gateway"), self.pause, most=100
        )

    @staticmethod
    def encode(items: Sequence[str]) -> bytes:
        return ",".join(items).encode()

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def answer(self, request: web.Request) -> web.Response:
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.got.append(await request.text())
        return web.Response(status=status)

    async def send_all(self) -> None:
        """Run until nothing waits."""
        sending = asyncio.create_task(self.collector.run())
        for _ in range(10_000):
            if not self.collector._work.is_set():
                break
            await asyncio.sleep(0.001)
        sending.cancel()
        await asyncio.wait({sending})


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    with closing(make_http()) as http:
        made = Bench(http)
        app = web.Application()
        app.router.add_post("/v1/traces", made.answer)
        async with TestServer(app) as server:
            made.collector = made.sender(str(server.make_url("")))
            yield made


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "gateway"]


async def test_many_go_in_batches_in_their_order(bench: Bench) -> None:
    names = [str(number) for number in range(100)]
    for name in names:
        bench.collector.add(name)
    await bench.send_all()
    assert [len(each.split(",")) for each in bench.got] == [64, 36]
    assert ",".join(bench.got).split(",") == names


async def test_what_could_not_be_sent_is_sent_later_and_ever_more_rarely(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    bench.statuses = [503, 429, 502, 504, 503, 503, 503]
    bench.collector.add("a")
    await bench.send_all()
    assert bench.got == ["a"]
    assert bench.pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert lines(caplog) == ["spans_waiting", "spans_sent"]


async def test_no_more_wait_than_may_and_the_log_tells_how_many_were_lost(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    for number in range(130):
        bench.collector.add(str(number))
    await bench.send_all()
    assert len(",".join(bench.got).split(",")) == 100
    told = [record for record in caplog.records if record.name == "gateway"]
    assert [record.message for record in told] == ["spans_waiting", "spans_sent"]
    assert [vars(record)["fields"] for record in told] == [{"why": "full"}, {"lost": 30}]


async def test_what_is_refused_for_good_is_not_sent_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.statuses = [400]
    for number in range(65):
        bench.collector.add(str(number))
    await bench.send_all()
    assert bench.got == ["64"]
    assert lines(caplog) == ["spans_waiting"]


async def test_the_end_waits_for_nobody(bench: Bench) -> None:
    # It is connected to, and then says nothing.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = bench.sender(f"http://127.0.0.1:{silent.getsockname()[1]}")
        mute.add("a")
        began = time.monotonic()
        await mute.flush(0.05)
        assert time.monotonic() - began < 4
    bench.collector.add("b")
    await bench.collector.flush(5)
    assert bench.got == ["b"]
