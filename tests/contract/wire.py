"""A TCP proxy before a server, whose wire a test can break."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal

from tests.contract.stack import free_port

Fault = Literal["dead", "slow", "lost"]
SLOW_S = 1.5


class Wire:
    """Passes everything on, or one of the faults:

    - `dead`: connections are refused, those that there are end;
    - `slow`: each piece of an answer comes SLOW_S late;
    - `lost`: nothing comes through in either direction, and nobody is told.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.target = target
        self._tls = tls
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    def url(self, scheme: str = "redis") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/0"

    def fail(self, fault: Fault) -> None:
        """Break it until `mend`."""
        self._do(self._fail(fault))

    def mend(self) -> None:
        """Pass everything on again."""
        self._do(self._mend())

    def close(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls
        )

    async def _fail(self, fault: Fault) -> None:
        if fault == "dead":
            await self._hang_up()
        elif fault == "slow":
            self._delay_s = SLOW_S
        else:
            self._passes.clear()

    async def _mend(self) -> None:
        self._delay_s = 0.0
        self._passes.set()
        if self._server is None:
            await self._listen()

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _end(self) -> None:
        await self._hang_up()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._passes.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        finally:
            self._writers.discard(writer)
        self._writers |= {writer, back}
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.gather(
                    self._pump(reader, back), self._pump(there, writer, answers=True)
                )
        finally:
            for each in (writer, back):
                self._writers.discard(each)
                each.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if answers and self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
