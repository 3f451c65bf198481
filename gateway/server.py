"""The HTTP server under an application: granian, run inside our own event loop.

Granian is about twice as fast as uvicorn under this gateway. What was checked of it: a caller
who leaves is reported at once; `send` waits when the connection's buffers are full, so the
kernel's buffer (`send_buffer_bytes`) is what an answer can run ahead of its reader; an
application that returns without ending its body leaves the HTTP framing open; running streams
finish after `stop`. Its embedded form has no option for a listening socket that exists already,
so one method is replaced here; the version is pinned.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import granian._granian as granian_core
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server as EmbeddedServer

App = Callable[..., Awaitable[None]]


class PortTaken(Exception):
    """The address can't be listened on."""


def listen(host: str, port: int, *, send_buffer_bytes: int | None = None) -> socket.socket:
    """A listening socket, inheritable. Raises PortTaken, with a sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if send_buffer_bytes is not None:
            # Accepted connections inherit it. The kernel doubles the number for its own use.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes // 2)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"{host}:{port} can't be listened on ({error.strerror}); end what uses it, or choose "
            "another port"
        ) from error
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


class Server:
    """Serves an application on a listening socket, which it takes over and closes at its end."""

    def __init__(self, app: App, listener: socket.socket, *, max_connections: int) -> None:
        host, port = listener.getsockname()[:2]
        self._server = _OnSocket(
            app,
            host,
            port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=30_000),
            websockets=False,
            backpressure=max_connections,
            log_enabled=False,
        )
        self._server.listening = listener.detach()

    async def serve(self) -> None:
        """Serve; returns when `stop` was called and all running answers are finished."""
        await self._server.serve()

    def stop(self) -> None:
        """Take no more connections, and end when the running answers are finished."""
        stop: Callable[[], None] = self._server.signal_handler_interrupt
        stop()


class _OnSocket(EmbeddedServer):
    listening: int

    def _init_shared_socket(self) -> None:
        # The stubs of granian don't tell of the constructor.
        holder: Any = granian_core.SocketHolder
        self._ssp: Any = None
        self._shd: Any = holder(self.listening, False, 2048)


async def stop_in_time(server: Server, serving: asyncio.Task[None], timeout_s: float) -> bool:
    """Stop a server; False if answers were still running after `timeout_s`."""
    server.stop()
    done, _ = await asyncio.wait({serving}, timeout=timeout_s)
    return bool(done)
