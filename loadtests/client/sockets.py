"""The client on plain sockets: under gevent each call is a greenlet's, else a thread's."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from loadtests.client.call import LOST, REFUSED, Call
from loadtests.client.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.client.ask import Ask, Target

CONNECT_S = 10.0
_PIECE = 65_536
_SLOW_PIECE = 1_024


class SocketClient:
    """Asks one target; keeps the connections of whole answers for the next calls."""

    def __init__(
        self,
        target: Target,
        timeout_s: float = 600.0,
        now: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Args: `timeout_s` is for one whole answer."""
        self.target = target
        self._timeout_s = timeout_s
        self._now = now
        self._sleep = sleep
        self._tls = target.tls()
        self._free: list[socket.socket] = []

    def ask(self, kind: str, ask: Ask, due: float | None = None) -> Call:
        """Ask once, without any retry; whatever goes wrong is told in the result."""
        began = self._now()
        call = Call(kind, began if due is None else due, began)
        request = self.target.request(kind, ask)
        while self._free and ask.kept:
            # A server may have closed it meanwhile; nobody has seen the question then.
            reading = Reading(ask, call)
            line = self._free.pop()
            self._exchange(line, request, ask, reading)
            if reading.touched or call.ending != LOST:
                return call
            call = Call(kind, call.due, began)
        reading = Reading(ask, call)
        try:
            line = self._connect(ask)
        except OSError as error:
            reading.end(REFUSED, self._now(), f"{type(error).__name__}: {error}")
            return call
        self._exchange(line, request, ask, reading)
        return call

    def close(self) -> None:
        """Hang up."""
        while self._free:
            self._free.pop().close()

    def _connect(self, ask: Ask) -> socket.socket:
        target = self.target
        if ask.bytes_per_s is None:
            line = socket.create_connection((target.host, target.port), CONNECT_S)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            line = slow_socket(target)
            line.settimeout(CONNECT_S)
            line.connect((target.host, target.port))
        if self._tls is None:
            return line
        return self._tls.wrap_socket(line, server_hostname=target.host)

    def _exchange(self, line: socket.socket, request: bytes, ask: Ask, reading: Reading) -> None:
        deadline = reading.call.began + self._timeout_s
        over = False
        try:
            line.settimeout(self._timeout_s)
            line.sendall(request)
            while not over:
                left = deadline - self._now()
                if left <= 0:
                    raise TimeoutError(f"no whole answer within {self._timeout_s:g} s")
                line.settimeout(left)
                data = line.recv(_PIECE if ask.bytes_per_s is None else _SLOW_PIECE)
                if not data:
                    reading.close(self._now())
                    break
                over = reading.feed(data, self._now())
                if ask.bytes_per_s is not None and not over:
                    self._sleep(len(data) / ask.bytes_per_s)
        except OSError as error:
            reading.lose(error, self._now())
        finally:
            if over and reading.reusable and ask.kept:
                self._free.append(line)
            else:
                line.close()


def slow_socket(target: Target) -> socket.socket:
    """A socket that takes little at a time, so that the server feels a slow reader."""
    family = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)[0][0]
    line = socket.socket(family, socket.SOCK_STREAM)
    # The size counts before the connection is made.
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return line
