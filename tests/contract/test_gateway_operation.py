"""The gateway as processes: workers, draining, metrics, logs, slow readers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    children_of,
    stream,
    wait_for,
)

# Most of these start a gateway of their own, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def own(tmp_path: Path, redis: RedisServer, model_server: Simulator) -> Iterator[Gateway]:
    """A gateway with two workers that a test may break."""
    model_server.reset()
    listen = {"workers": 2, "drain_delay_s": 1}
    process = Gateway(tmp_path / "gw", redis, [{"url": model_server.url}], listen=listen)
    yield process
    if process.alive():
        process.end(signal.SIGKILL)


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_killed_parent_leaves_no_worker(own: Gateway) -> None:
    workers = own.worker_pids()
    assert len(workers) == 2
    own.end(signal.SIGKILL)
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in workers), "the workers to end", 5)
    assert refuses(own.port)


def test_a_dead_worker_is_replaced_and_its_counts_stay(
    own: Gateway, model_server: Simulator
) -> None:
    for _ in range(12):
        assert own.post().status_code == 200
    # A stream that is in flight when its worker dies must not stay in the gauge.
    model_server.control(step_s=1.0)
    with stream(own) as response:
        lines = response.iter_lines()
        next(lines)
        assert own.value("r1_inflight_requests") == 1
        before = set(own.worker_pids())
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    wait_for(lambda: len(set(own.worker_pids()) - before) == 2, "new workers")
    model_server.reset()
    wait_for(lambda: answers(own.admin_url + "/readyz"), "readiness", 45)
    assert own.value("r1_inflight_requests") == 0
    assert own.value("r1_requests_total", code="200") == 12
    assert own.post().status_code == 200
    assert own.value("r1_requests_total", code="200") == 13
    assert len(own.events("worker_died")) == 2


def test_health_is_on_both_ports(own: Gateway) -> None:
    for base in (own.url, own.admin_url):
        for path in ("/livez", "/readyz"):
            assert HTTP.get(base + path).status_code == 200
    assert HTTP.get(own.url + "/metrics").status_code == 404
    assert HTTP.get(own.url + "/admin/keys").status_code == 404


def test_logs_hold_no_key_and_no_prompt(own: Gateway, model_server: Simulator) -> None:
    secret, answer = "my cat is called Nebuchadnezzar", "the answer is confidential"
    model_server.control(content=answer)
    question = [{"role": "user", "content": secret}]
    own.post(messages=question)
    own.post(messages=question, temperature=99)
    own.post(messages=question, model=secret)
    wrong = own.key[:-1] + ("0" if own.key[-1] != "0" else "1")
    HTTP.post(
        own.url + "/v1/chat/completions",
        json=chat(messages=question),
        headers={"authorization": f"Bearer {wrong}"},
    )
    faults: list[dict[str, Any]] = [
        {"fault": fault} for fault in ("error", "nonsense", "cut", "die", "garbage")
    ]
    for fault in (*faults, {"status": 500}):
        model_server.control(**fault)
        with stream(own, messages=question) as response:
            response.read()
        own.post(messages=question)
    wait_for(lambda: len(own.events("request")) >= 16, "the log")
    text = own.text()
    for private in (secret, answer, own.key, wrong, own.admin_key, "Nebuchadnezzar"):
        assert private not in text
    assert own.pepper_file.read_text() not in text
    assert not own.events("internal_error")
    logged = own.events("request")[0]
    assert logged["tenant"] == "acme"
    assert re.fullmatch(r"key_[0-9a-f]{16}", logged["key_id"])
    for line in text.splitlines():
        json.loads(line)
    titles = [" ".join(psutil.Process(pid).cmdline()) for pid in (own.pid, *children_of(own.pid))]
    assert own.key not in "".join(titles)


def test_a_slow_reader_does_not_fill_the_memory(
    tmp_path: Path, folder: Path, redis: RedisServer
) -> None:
    """Answers of some 8 MB each, for callers who read nothing of them."""
    streams, allowed, events = 5, 2 * 1024 * 1024, 20_000
    server = Simulator(folder, "--max-model-len", "10000000")
    gateway = Gateway(tmp_path / "gw", redis, [{"url": server.url}])
    try:
        (worker,) = [psutil.Process(pid) for pid in gateway.worker_pids()]
        for _ in range(4):
            assert gateway.post(stream=True).status_code == 200
        before = worker.memory_info().rss
        server.control(reasoning="y" * 100 * events, per_event=100)
        callers = [unread_stream(gateway) for _ in range(streams)]
        wait_for(lambda: server.seen()["running"] == streams, "the streams")
        wait_for(Still(lambda: server.seen()["sent"]), "the model server to be held up", 120)
        grown = worker.memory_info().rss - before
        assert server.seen()["running"] == streams
        assert server.seen()["sent"] < events * streams * 0.75
        assert grown < streams * allowed
        for caller in callers:
            caller.close()
        wait_for(lambda: server.seen()["running"] == 0, "the engine to stop")
        assert gateway.value("r1_inflight_requests") == 0
    finally:
        gateway.end(signal.SIGKILL)
        server.end()


class Still:
    """True once a figure was the same at two looks, a second or more apart."""

    def __init__(self, look: Callable[[], float]) -> None:
        self._look = look
        self._value = -1.0
        self._since = 0.0

    def __call__(self) -> bool:
        value = self._look()
        if value != self._value:
            self._value, self._since = value, time.monotonic()
        return time.monotonic() - self._since > 1.5


def unread_stream(gateway: Gateway) -> socket.socket:
    """A caller that asks for a stream and then reads nothing."""
    body = json.dumps(chat(stream=True)).encode()
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    caller.connect(("127.0.0.1", gateway.port))
    caller.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        + f"authorization: Bearer {gateway.key}\r\n".encode()
        + f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return caller
