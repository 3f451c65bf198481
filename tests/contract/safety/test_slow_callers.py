"""Callers who hold on to connections: they are let go in time, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.safety.wire import RawServer, caller, endless, request, rest, statuses
from tests.contract.stack import HTTP, Gateway, RedisServer, wait_for

LATE_S = 1
FLOOD = endless(
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"y" * 10_000),
)


@pytest.fixture(scope="module")
def hurried(folder: Path, redis: RedisServer, raw_server: RawServer) -> Iterator[Gateway]:
    """A gateway that waits for nobody longer than LATE_S."""
    process = Gateway(
        folder / "hurried",
        redis,
        [{"url": raw_server.url}],
        listen={
            "header_timeout_s": LATE_S,
            "body_timeout_s": LATE_S,
            "write_timeout_s": LATE_S,
            "sse_keepalive_s": 0.2,
        },
    )
    yield process
    assert process.end() == 0


class Drips:
    """Sends one piece after the other on a connection until it is closed."""

    def __init__(self, line: socket.socket, piece: bytes) -> None:
        self._line = line
        self._piece = piece
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.wait(0.1):
                self._line.sendall(self._piece)

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize(
    ("first", "piece", "expected"),
    [
        (b"", b"", []),
        (b"POST /v1/chat/completions HTTP/1.1\r\n", b"x-a: b\r\n", [408]),
        (b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n", b"", [200]),
        (b"content-length: 1000", b" ", [408]),
        (b"transfer-encoding: chunked", b"1\r\n \r\n", [408]),
    ],
)
def test_who_drips_is_let_go(
    hurried: Gateway, raw: RawServer, first: bytes, piece: bytes, expected: list[int]
) -> None:
    if first[:1].islower():
        first = request(hurried, first.decode(), body=b"")
    with caller(hurried) as line:
        line.sendall(first)
        drips = Drips(line, piece)
        # The end comes from the gateway; else this runs into the caller's own time limit.
        try:
            assert statuses(rest(line)) == expected
        finally:
            drips.end()
    assert raw.asked == []


def test_a_wrong_key_is_refused_before_the_body(hurried: Gateway) -> None:
    data = request(hurried, "content-length: 1000", body=b"").replace(b"Bearer r1-", b"Bearer r2-")
    with caller(hurried) as line:
        line.sendall(data)
        assert statuses(rest(line)) == [401]


def test_bodies_of_the_admin_port_are_bounded(hurried: Gateway) -> None:
    """They are read before the key is looked at."""
    port = int(hurried.admin_url.rpartition(":")[2])
    head = b"POST /admin/keys HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    for length, status in ((1000, 408), (10**9, 413)):
        with socket.create_connection(("127.0.0.1", port), 20) as line:
            line.sendall(head + b"content-length: %d\r\n\r\n" % length + b" " * 100)
            with contextlib.suppress(OSError):
                line.sendall(b" " * (100_000 if status == 413 else 0))
            assert statuses(rest(line)) == [status]


def unread(gateway: Gateway) -> socket.socket:
    """A caller that asks for an endless stream and takes nothing of it."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    line.connect(("127.0.0.1", gateway.port))
    line.sendall(request(gateway, stream=True))
    return line


def test_who_takes_nothing_is_cut_off(hurried: Gateway, raw: RawServer) -> None:
    raw.reply = FLOOD
    before = hurried.value("r1_disconnects_total")
    with unread(hurried):
        wait_for(lambda: hurried.value("r1_inflight_requests") == 1, "the stream")
        wait_for(lambda: hurried.value("r1_inflight_requests") == 0, "its end")
    assert hurried.value("r1_disconnects_total") == before + 1


def test_others_are_answered_meanwhile(door: Gateway, raw: RawServer) -> None:
    """Hundreds of connections of each kind hang, for longer than this test takes."""
    address = ("127.0.0.1", door.port)
    firsts = (
        b"",
        b"POST /v1/chat/completions HTTP/1.1\r\nx-a: b\r\n",
        request(door, "content-length: 1000", body=b"{"),
        request(door, "transfer-encoding: chunked", body=b"1\r\n{\r\n"),
    )
    with contextlib.ExitStack() as lines:
        for number in range(400):
            line = lines.enter_context(socket.create_connection(address, 20))
            line.sendall(firsts[number % len(firsts)])
        raw.reply = FLOOD
        for _ in range(5):
            lines.enter_context(unread(door))
        wait_for(lambda: door.value("r1_inflight_requests") == 5, "the streams")
        raw.reset()
        for _ in range(20):
            assert door.post().status_code == 200
        assert HTTP.get(door.url + "/livez").status_code == 200
    wait_for(lambda: door.value("r1_inflight_requests") == 0, "their end")


def test_connections_are_bounded_and_freed(
    tmp_path: Path, redis: RedisServer, raw: RawServer
) -> None:
    """More idle connections than there are places: who is honest waits until they are let go."""
    gateway = Gateway(
        tmp_path / "gw",
        redis,
        [{"url": raw.url}],
        listen={"max_connections": 8, "header_timeout_s": LATE_S},
    )
    try:
        address = ("127.0.0.1", gateway.port)
        with contextlib.ExitStack() as lines:
            for _ in range(12):
                lines.enter_context(socket.create_connection(address, 20))
            assert gateway.post().status_code == 200
    finally:
        gateway.end()


def test_a_shells_limit_of_files_is_no_limit_of_callers() -> None:
    """A process that may have 300 files open, and more if it asks, makes room for 1000 callers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= 4096
    program = (
        "import resource\n"
        "from gateway.server import affordable\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (300, {hard}))\n"
        "print(affordable(1000), resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 2000)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))\n"
        "print(1 <= affordable(1000) < 500)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1000", "True", "True"]
