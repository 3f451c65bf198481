"""The client on asyncio."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from loadtests.client.call import LOST, REFUSED, UNFINISHED, Call
from loadtests.client.reading import Reading
from loadtests.client.sockets import CONNECT_S, slow_socket

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.client.ask import Ask, Target

_PIECE = 65_536
_SLOW_PIECE = 1_024

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class StreamClient:
    """Asks one target; keeps the connections of whole answers for the next calls."""

    def __init__(
        self, target: Target, timeout_s: float = 600.0, now: Callable[[], float] = time.perf_counter
    ) -> None:
        """Args: `timeout_s` is for one whole answer."""
        self.target = target
        self._timeout_s = timeout_s
        self._now = now
        self._tls = target.tls()
        self._free: list[Line] = []

    async def ask(self, kind: str, ask: Ask, due: float | None = None) -> Call:
        """Ask once, without any retry; whatever goes wrong is told in the result.

        A call that is cancelled is `unfinished`, and its connection closed.
        """
        began = self._now()
        call = Call(kind, began if due is None else due, began)
        request = self.target.request(kind, ask)
        while self._free and ask.kept:
            # A server may have closed it meanwhile; nobody has seen the question then.
            reading = Reading(ask, call)
            await self._exchange(self._free.pop(), request, ask, reading)
            if reading.touched or call.ending != LOST:
                return call
            call = Call(kind, call.due, began)
        reading = Reading(ask, call)
        try:
            async with asyncio.timeout(CONNECT_S):
                line = await self._connect(ask)
        except OSError as error:
            reading.end(REFUSED, self._now(), f"{type(error).__name__}: {error}")
            return call
        except asyncio.CancelledError:
            reading.end(UNFINISHED, self._now())
            return call
        await self._exchange(line, request, ask, reading)
        return call

    def close(self) -> None:
        """Hang up."""
        for _, writer in self._free:
            writer.transport.abort()
        self._free.clear()

    async def _connect(self, ask: Ask) -> Line:
        target = self.target
        name = target.host if target.secure else None
        if ask.bytes_per_s is None:
            return await asyncio.open_connection(
                target.host, target.port, ssl=self._tls, server_hostname=name
            )
        line = slow_socket(target)
        line.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(line, (target.host, target.port))
            return await asyncio.open_connection(
                sock=line, ssl=self._tls, server_hostname=name, limit=_SLOW_PIECE
            )
        except BaseException:
            line.close()
            raise

    async def _exchange(self, line: Line, request: bytes, ask: Ask, reading: Reading) -> None:
        reader, writer = line
        over = False
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(request)
                await writer.drain()
                while not over:
                    data = await reader.read(_PIECE if ask.bytes_per_s is None else _SLOW_PIECE)
                    if not data:
                        reading.close(self._now())
                        break
                    over = reading.feed(data, self._now())
                    if ask.bytes_per_s is not None and not over:
                        await asyncio.sleep(len(data) / ask.bytes_per_s)
        except OSError as error:
            reading.lose(error, self._now())
        except asyncio.CancelledError:
            reading.end(UNFINISHED, self._now())
        finally:
            if over and reading.reusable and ask.kept:
                self._free.append(line)
            else:
                writer.transport.abort()
