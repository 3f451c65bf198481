"""SIGTERM: readiness fails first, running answers finish, and connections end politely."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import psutil
import pytest

from tests.contract.stack import (
    HTTP,
    Gateway,
    RedisServer,
    Simulator,
    answers,
    chat,
    stream,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)


Start = Callable[..., Gateway]


@pytest.fixture
def start(tmp_path: Path, redis: RedisServer, model_server: Simulator) -> Iterator[Start]:
    """Starts a gateway with two workers, which the test ends."""
    model_server.reset()
    started: list[Gateway] = []

    def one(**listen: Any) -> Gateway:
        upstreams = [{"url": model_server.url}]
        process = Gateway(tmp_path / "gw", redis, upstreams, listen={"workers": 2, **listen})
        started.append(process)
        return process

    yield one
    for each in started:
        if each.alive():
            each.end(signal.SIGKILL)


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def kept_connection(gateway: Gateway) -> socket.socket:
    """A connection that was used once and stays open."""
    caller = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    caller.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"200 OK" in caller.recv(4096)
    return caller


class Reader(threading.Thread):
    """Reads a stream to its end."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway
        self.events: list[str] = []
        self.start()

    def run(self) -> None:
        with stream(self._gateway) as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    self.events.append(line[6:])


def call_until_not_ready(gateway: Gateway, outcomes: Counter[str]) -> None:
    """A caller that keeps its connection, and leaves when readiness fails."""
    with httpx.Client(trust_env=False, verify=False) as client:
        while client.get(gateway.admin_url + "/readyz").status_code == 200:
            for _ in range(3):
                try:
                    answer = client.get(gateway.url + "/v1/models", headers=gateway.headers)
                    outcome = str(answer.status_code)
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                outcomes[outcome] += 1


def test_readiness_fails_first_and_running_streams_finish(
    start: Start, model_server: Simulator
) -> None:
    gateway = start(drain_delay_s=2, drain_idle_s=3)
    model_server.control(step_s=0.25)
    workers = gateway.worker_pids()
    idle = kept_connection(gateway)
    reader = Reader(gateway)
    wait_for(lambda: reader.events, "the stream")
    with ThreadPoolExecutor() as pool:
        outcomes = [Counter[str]() for _ in range(4)]
        callers = [pool.submit(call_until_not_ready, gateway, each) for each in outcomes]
        wait_for(lambda: all(outcomes), "the callers")
        gateway.child.send_signal(signal.SIGTERM)
        wait_for(lambda: not answers(gateway.url + "/readyz"), "readiness to fail")
        # Still within drain_delay_s: readiness fails, but requests are served.
        for base in (gateway.url, gateway.admin_url):
            ready = HTTP.get(base + "/readyz")
            assert (ready.status_code, ready.json()["reason"]) == (503, "stopping")
            assert ready.headers["retry-after"]
        assert HTTP.get(gateway.url + "/livez").status_code == 200
        listed = HTTP.get(gateway.url + "/v1/models", headers=gateway.headers)
        asked = gateway.post(max_tokens=1)
        assert (listed.status_code, asked.status_code) == (200, 200)
        assert listed.headers["connection"] == asked.headers["connection"] == "close"
        for each in callers:
            each.result()
        assert [set(each) for each in outcomes] == [{"200"}] * 4
    # A connection that nobody uses is closed, not reset.
    assert idle.recv(1) == b""
    idle.close()
    wait_for(lambda: refuses(gateway.port), "new connections to be refused")
    assert gateway.alive(), "it must not end before its stream"
    reader.join(20)
    assert reader.events[-1] == "[DONE]"
    assert gateway.child.wait(20) == 0
    assert not any(psutil.pid_exists(pid) for pid in workers)


def test_what_outlasts_the_grace_is_told_so(start: Start, model_server: Simulator) -> None:
    gateway = start(drain_timeout_s=0.5)
    (warning,) = gateway.events("remark")
    assert warning["remark"].startswith("listen.drain_timeout_s: ")
    model_server.control(step_s=0.8)
    reader = Reader(gateway)
    wait_for(lambda: reader.events, "the stream")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(gateway.post)
        wait_for(lambda: model_server.seen()["running"] == 2, "the other request")
        assert gateway.end(signal.SIGTERM) == 0
        refused = waiting.result()
    reader.join(20)
    error = json.loads(reader.events[-1])["error"]
    assert error["code"] == "shutting_down"
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert refused.headers["retry-after"]
    assert refused.headers["x-should-retry"] == "true"
    assert sum(event["requests_cut"] for event in gateway.events("drain_timeout")) == 2
    assert [event["code"] for event in gateway.events("request")[-2:]] == ["shutting_down"] * 2
    wait_for(lambda: model_server.seen()["running"] == 0, "the engine to stop")


def test_a_second_signal_does_not_wait_for_streams(start: Start, model_server: Simulator) -> None:
    gateway = start(drain_delay_s=600)
    model_server.control(step_s=0.8)
    reader = Reader(gateway)
    wait_for(lambda: reader.events, "the stream")
    gateway.child.send_signal(signal.SIGINT)
    wait_for(lambda: gateway.events("stopping"), "the first signal to be heard")
    gateway.child.send_signal(signal.SIGINT)
    assert gateway.child.wait(15) == 0
    reader.join(20)
    assert json.loads(reader.events[-1])["error"]["code"] == "shutting_down"


def test_a_worker_that_dies_does_not_hold_up_the_end(start: Start, model_server: Simulator) -> None:
    gateway = start()
    model_server.control(step_s=1.0)
    with stream(gateway) as response:
        lines = response.iter_lines()
        next(lines)
        gateway.child.send_signal(signal.SIGTERM)
        wait_for(lambda: len(gateway.worker_pids()) == 1, "the worker without a stream to end")
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert gateway.child.wait(15) == 0


class Caller:
    """Calls at random moments over one kept connection, until an answer says that it ends."""

    def __init__(self, gateway: Gateway, seed: int) -> None:
        self._gateway = gateway
        self._chance = random.Random(seed)
        self.answered = asyncio.Event()

    async def call_on(self) -> None:
        """Raises aiohttp.ClientError for a call that is lost."""
        async with aiohttp.ClientSession(headers=self._gateway.headers) as session:
            last = False
            while not last:
                # Some streams begin before the signal and end after it.
                body = chat(stream=self._chance.random() < 0.3, max_tokens=20)
                async with session.post(
                    self._gateway.url + "/v1/chat/completions", json=body
                ) as answer:
                    text = await answer.text()
                assert answer.status == 200
                assert not body["stream"] or text.endswith("data: [DONE]\n\n")
                self.answered.set()
                last = answer.headers.get("connection") == "close"
                await asyncio.sleep(self._chance.random() * 3)


async def call_while_it_stops(gateway: Gateway, callers: list[Caller]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in callers:
            group.create_task(each.call_on())
        await asyncio.gather(*(each.answered.wait() for each in callers))
        gateway.child.send_signal(signal.SIGTERM)


def test_kept_connections_lose_no_call_while_the_gateway_stops(
    start: Start, model_server: Simulator
) -> None:
    """Callers who honour `connection: close` see no error, whenever they send."""
    gateway = start(drain_idle_s=75)
    model_server.control(step_s=0.02)
    # The idle time is longer than any of their pauses.
    asyncio.run(call_while_it_stops(gateway, [Caller(gateway, seed) for seed in range(40)]))
    assert gateway.child.wait(30) == 0
    assert not gateway.events("drain_timeout")
