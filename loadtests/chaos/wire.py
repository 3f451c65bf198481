"""A TCP proxy before a server, whose wire can be disturbed."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

_NOISE = b"\xff" * 48


@dataclass(frozen=True)
class State:
    """What happens to the pieces that pass; times in seconds, shares between 0 and 1."""

    delay_s: float = 0.0
    """Each piece of an answer comes so much later."""
    noise: float = 0.0
    """Share of an answer's pieces in which some bytes are overwritten."""
    cuts: float = 0.0
    """Share of an answer's pieces instead of which the connection is reset."""


WELL = State()


class Wire:
    """Passes everything on to `target` on this machine, as its `state` says; in its own thread."""

    def __init__(self, port: int, target: int, *, seed: int) -> None:
        self.port = port
        self.state = WELL
        self._target = target
        self._rng = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server = self._do(
            asyncio.start_server(self._serve, "127.0.0.1", port)
        )

    def reset_all(self) -> None:
        """Reset all connections that there are."""
        self._loop.call_soon_threadsafe(self._abort)

    def close(self) -> None:
        """Hang up and listen no more."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _abort(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        self._abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.gather(
                    self._pump(reader, back, answers=False),
                    self._pump(there, writer, answers=True),
                )
        finally:
            for each in (writer, back):
                self._writers.discard(each)
                each.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                state = self.state
                if answers and state.delay_s:
                    await asyncio.sleep(state.delay_s)
                if answers and state.cuts and self._rng.random() < state.cuts:
                    break
                if answers and state.noise and self._rng.random() < state.noise:
                    data = self._overwritten(data)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def _overwritten(self, data: bytes) -> bytes:
        """The same length, with bytes in the middle that no UTF-8 text has."""
        noise = _NOISE[: len(data)]
        at = self._rng.randint(0, len(data) - len(noise))
        return data[:at] + noise + data[at + len(noise) :]
