"""HTTP/1.1 to servers: connections that are kept, and answers that are read as they come."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from gateway.http.wire import Response, Wire

MakeSocket = Callable[[tuple[Any, ...]], socket.socket]
_NAMES_KEPT_S = 30.0
_LOOKUP_S = 0.5
"""How long is waited for what a name leads to now, where it is known what it led to before."""


class Unreachable(Exception):
    """There was no connection; `late`: within the time for it."""

    def __init__(self, *, late: bool) -> None:
        super().__init__("late" if late else "refused")
        self.late = late


@dataclass(frozen=True, slots=True)
class Origin:
    """What of a URL says where to connect, and what its paths begin with."""

    secure: bool
    host: str
    port: int
    path: str
    authority: str

    @staticmethod
    def of(url: str) -> Origin:
        """Of an http or https URL."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        return Origin(secure, parts.hostname or "", port, parts.path, parts.netloc)


class HttpClient:
    """Asks servers, each request on a connection of its own that is used again afterwards.

    No cookies, no redirects, no proxies and no compression: a model server needs none of them.
    """

    def __init__(self, make_socket: MakeSocket, *, idle_s: float) -> None:
        """Args: `make_socket` from one of getaddrinfo's; `idle_s` is how long one is kept."""
        self._make_socket = make_socket
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._origins: dict[str, Origin] = {}
        self._idle: dict[Origin, deque[Wire]] = {}
        self._names: dict[tuple[str, int], tuple[float, list[Any]]] = {}
        self._lookups: dict[tuple[str, int], asyncio.Task[list[Any]]] = {}
        self._tls: ssl.SSLContext | None = None

    async def ask(
        self,
        base: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        connect_s: float,
    ) -> Response:
        """The answer's beginning: a POST, without a `body` a GET. Close it in the end.

        Raises Unreachable, Broken or NotHttp.
        """
        origin = self._origins.get(base)
        if origin is None:
            origin = self._origins[base] = Origin.of(base)
        lines = [
            f"{'GET' if body is None else 'POST'} {origin.path}{path} HTTP/1.1",
            f"host: {origin.authority}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise ValueError("a header of a request has a line end in it")
        wire = self._take(origin) or await self._open(origin, connect_s)
        return await wire.ask(head.encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def close(self) -> None:
        """Close the connections that are kept."""
        for lookup in self._lookups.values():
            lookup.cancel()
        for kept in self._idle.values():
            for wire in kept:
                wire.abort()
        self._idle.clear()

    def _take(self, origin: Origin) -> Wire | None:
        """The connection that was used last, if it is still good."""
        kept = self._idle.get(origin)
        oldest = self._loop.time() - self._idle_s
        while kept:
            wire = kept.pop()
            if not wire.lost and wire.since > oldest:
                return wire
            wire.abort()
        return None

    def _keep(self, origin: Origin, wire: Wire) -> None:
        """A connection is free again."""
        kept = self._idle.setdefault(origin, deque())
        now = wire.since = self._loop.time()
        while kept and (kept[0].lost or kept[0].since < now - self._idle_s):
            kept.popleft().abort()
        kept.append(wire)

    async def _open(self, origin: Origin, connect_s: float) -> Wire:
        try:
            async with asyncio.timeout(connect_s):
                return await self._connect(origin)
        except TimeoutError as error:
            raise Unreachable(late=True) from error
        except OSError as error:
            raise Unreachable(late=False) from error

    async def _connect(self, origin: Origin) -> Wire:
        fault: OSError | None = None
        free = partial(self._keep, origin)
        for address in await self._addresses(origin):
            made: socket.socket | None = None
            try:
                made = self._make_socket(address)
                made.setblocking(False)
                await self._loop.sock_connect(made, address[4])
                _, wire = await self._loop.create_connection(
                    lambda: Wire(free),
                    sock=made,
                    ssl=self._context() if origin.secure else None,
                    server_hostname=origin.host if origin.secure else None,
                )
                return wire
            except OSError as error:
                fault = error
                if made is not None:
                    made.close()
            except BaseException:
                if made is not None:
                    made.close()
                raise
        raise fault or OSError("the name has no address")

    async def _addresses(self, origin: Origin) -> list[Any]:
        """What a name leads to; what it led to last, while nobody can tell. Raises OSError."""
        place, now = (origin.host, origin.port), self._loop.time()
        known = self._names.get(place)
        if known is not None and known[0] > now:
            return known[1]
        lookup = self._lookups.get(place)
        if lookup is not None:
            return await asyncio.shield(lookup) if known is None else known[1]
        # One for all who ask: a name server that hangs would take every thread there is.
        lookup = self._lookups[place] = self._loop.create_task(self._look_up(place))
        lookup.add_done_callback(partial(self._looked_up, place))
        if known is None:
            return await asyncio.shield(lookup)
        await asyncio.wait({lookup}, timeout=_LOOKUP_S)
        return self._names[place][1]

    async def _look_up(self, place: tuple[str, int]) -> list[Any]:
        found = await self._loop.getaddrinfo(*place, type=socket.SOCK_STREAM)
        self._names[place] = (self._loop.time() + _NAMES_KEPT_S, found)
        return found

    def _looked_up(self, place: tuple[str, int], lookup: asyncio.Task[list[Any]]) -> None:
        del self._lookups[place]
        # All who waited may have gone: look at the result, or asyncio warns of a lost error.
        if not lookup.cancelled():
            lookup.exception()

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
