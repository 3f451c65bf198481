"""How faults are named, and how restarts are spaced."""

from __future__ import annotations

import socket

import pytest

from gateway import errors
from gateway.crew import restart_delay
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    NotCached,
    Unauthorized,
    UpstreamBusy,
)
from gateway.http.client import Unreachable
from gateway.http.wire import Broken, NotHttp
from gateway.upstream.client import make_socket
from gateway.upstream.faults import connection_fault


def test_every_error_knows_its_place_on_the_wire() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    tree = [each for each in classes if issubclass(each, GatewayError) and each != GatewayError]
    assert len(tree) >= 16
    for each in tree:
        if each is UpstreamBusy:
            error: GatewayError = UpstreamBusy("x", status=429, retry_after_s=1.2)
        elif each is Unauthorized:
            error = Unauthorized("x", reason="missing")
        else:
            error = each("x")
        body = error.body()["error"]
        assert set(body) == {"message", "type", "param", "code"}
        assert 400 <= error.status < 600
        headers = dict(error.headers())
        assert (b"retry-after" in headers) == (error.status in (429, 503))
        # What the OpenAI SDK retries by itself is what we call worth a retry.
        again = error.status == 429 or error.status >= 500
        # A caller's own time runs out only once, and its wish stays the same.
        assert error.retry == (again and each not in (DeadlineExceeded, NotCached))
    assert dict(UpstreamBusy("x", status=429, retry_after_s=1.2).headers())[b"retry-after"] == b"2"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unreachable(late=True), "upstream_unavailable"),
        (Unreachable(late=False), "upstream_unavailable"),
        (TimeoutError(), "upstream_timeout"),
        (Broken(begun=False), "upstream_lost"),
        (NotHttp(), "upstream_error"),
    ],
)
def test_faults_of_the_line_have_names(error: Exception, code: str) -> None:
    assert connection_fault(error).code == code


def test_restarts_are_spaced() -> None:
    delays = [restart_delay(failures) for failures in range(1, 12)]
    assert delays[0] == 0.1
    assert delays == sorted(delays)
    assert delays[-1] == 5.0


def test_a_peer_that_is_cut_off_is_noticed_by_the_kernel() -> None:
    with make_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, every, times = (
            made.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
    assert idle + every * times <= 30
