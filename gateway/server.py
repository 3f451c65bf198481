"""The HTTP server under an application: a listening socket, and the connections it gives.

It runs in the loop of its process and answers HTTP/1.1 and 1.0. What it does not do is left to
what stands in front: TLS, HTTP/2, compression. Written for this gateway because the path between
a socket and the application is walked for each streamed token: no thread, no copy, no queue is
on it.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

from gateway.http.connection import Connection

# Descriptors for all but calls: the store's connections, listeners, sheets of metrics, logs.
_OTHER_FILES = 256

App = Callable[..., Awaitable[None]]

_AT_ONCE = 64
"""Connections that are taken before others are served again."""
_LOOK_S = 1.0
"""How often the time limits of idle connections are looked at."""
_PAUSE_S = 0.2
"""After the system refused a connection, for it has no descriptors left."""


class PortTaken(Exception):
    """The address can't be listened on."""


def listen(
    host: str,
    port: int,
    *,
    send_buffer_bytes: int | None = None,
    write_timeout_s: float | None = None,
) -> socket.socket:
    """A listening socket. Raises PortTaken, with a sentence.

    `write_timeout_s`: the kernel ends a connection whose peer takes nothing for so long.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if send_buffer_bytes is not None:
            # Accepted connections inherit it. The kernel doubles the number for its own use.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes // 2)
        if write_timeout_s is not None and sys.platform == "linux":
            # Inherited too; it counts while the peer's window is shut, as a slow reader's is.
            waits_ms = min(int(write_timeout_s * 1000), 2**31 - 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, waits_ms)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"{host}:{port} can't be listened on ({error.strerror}); end what uses it, or choose "
            "another port"
        ) from error
    listener.setblocking(False)
    return listener


def affordable(max_connections: int) -> int:
    """How many connections this process may have open, each with one to a model server.

    Takes as many file descriptors as the system allows: a shell's usual 1,024 are used up by a
    few callers who send nothing, and without any nobody can be answered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * max_connections + _OTHER_FILES
    if soft < wanted:
        soft = min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(max_connections, (soft - _OTHER_FILES) // 2))


class Server:
    """Serves an application on a listening socket, which it takes over and closes at its end.

    `max_connections` are open at once; more wait in the kernel. One that was just opened, or on
    which a request's head has begun, is closed when that isn't whole after `header_timeout_s`; one
    that is kept for its next request, after `idle_timeout_s`.
    """

    def __init__(
        self,
        app: App,
        listener: socket.socket,
        *,
        max_connections: int,
        header_timeout_s: float = 30.0,
        idle_timeout_s: float = 75.0,
    ) -> None:
        self.app = app
        self.leaving = False
        """Answers say that their connection ends."""
        self.stopping = False
        self.loop = asyncio.get_running_loop()
        self._listener = listener
        self._most = max_connections
        self._header_timeout_s = header_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._connections: set[Connection] = set()
        self._opening: set[asyncio.Task[Any]] = set()
        self._accepting = False
        self._empty = asyncio.Event()
        self._second = -1
        self._date = b""

    async def serve(self) -> None:
        """Serve; returns when `stop` was called and all running answers are finished."""
        self._accept_more()
        self._look()
        await self._empty.wait()

    def leave(self) -> None:
        """End each connection with its next answer, which says so.

        Who keeps connections comes back over a new one. To close those where nobody is answered
        would lose the request of a caller who uses one at that moment.
        """
        self.leaving = True

    def close_door(self) -> None:
        """Take no more connections; whoever else has the socket goes on taking them from it."""
        self._accept_no_more()
        self._listener.close()

    def stop(self, idle_s: float = 0.0) -> None:
        """Take no more connections, and end when the running answers are finished.

        Connections without a request end when they were so for `idle_s` seconds: who honours
        `connection: close`, and keeps none for longer than that, loses no request. A second call
        can only shorten it.
        """
        if not self.stopping:
            self.leaving = self.stopping = True
            # The kernel has opened these already and would reset them with the socket.
            while self._listener.fileno() >= 0 and self._take():
                continue
            self.close_door()
        self._idle_timeout_s = min(self._idle_timeout_s, idle_s)
        self._close_expired()
        self._end_if_empty()

    def now(self) -> float:
        """Seconds of the loop's clock."""
        return self.loop.time()

    def date(self) -> bytes:
        """The `date` header's line, made once a second."""
        second = int(self.loop.time())
        if second != self._second:
            self._second = second
            self._date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"
        return self._date

    def came(self, connection: Connection) -> None:
        """A connection was opened."""
        self._connections.add(connection)

    def went(self, connection: Connection) -> None:
        """A connection was closed."""
        self._connections.discard(connection)
        self._end_if_empty()
        self._accept_more()

    def _accept_more(self) -> None:
        if not self._accepting and self._listener.fileno() >= 0:
            self._accepting = True
            self.loop.add_reader(self._listener.fileno(), self._accept)

    def _accept_no_more(self) -> None:
        if self._accepting:
            self._accepting = False
            self.loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if len(self._connections) + len(self._opening) >= self._most:
                self._accept_no_more()
                return
            if not self._take():
                return

    def _take(self) -> bool:
        """Take one connection from the kernel; False if there is none to be had."""
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            # Another worker took it.
            return False
        except OSError:
            self._accept_no_more()
            self.loop.call_later(_PAUSE_S, self._accept_more)
            return False
        accepted.setblocking(False)
        opening = self.loop.create_task(self._open(accepted))
        self._opening.add(opening)
        opening.add_done_callback(self._opened)
        return True

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: Connection(self), accepted)
        except OSError:
            # It was gone before it was there.
            accepted.close()

    def _opened(self, opening: asyncio.Task[Any]) -> None:
        self._opening.discard(opening)
        self._end_if_empty()
        if len(self._connections) + len(self._opening) < self._most:
            self._accept_more()

    def _end_if_empty(self) -> None:
        if self.stopping and not self._connections and not self._opening:
            self._empty.set()

    def _look(self) -> None:
        """Close, now and then, who waits too long with a request."""
        self._close_expired()
        if not self._empty.is_set():
            self.loop.call_later(min(_LOOK_S, self._header_timeout_s), self._look)

    def _close_expired(self) -> None:
        now = self.now()
        for connection in [each for each in self._connections if each.idle]:
            if now - connection.since >= self._patience_s(connection):
                connection.expired()

    def _patience_s(self, connection: Connection) -> float:
        if connection.begun:
            return self._header_timeout_s
        if connection.used:
            return self._idle_timeout_s
        return min(self._header_timeout_s, self._idle_timeout_s)


async def stop_in_time(server: Server, serving: asyncio.Task[None], timeout_s: float) -> bool:
    """Stop a server; False if answers were still running after `timeout_s`."""
    server.stop()
    done, _ = await asyncio.wait({serving}, timeout=timeout_s)
    return bool(done)
