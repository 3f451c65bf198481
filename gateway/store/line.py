"""One connection to a plain Redis for scripts: many callers at once, one write for all of them.

Each request runs a script, so what a command costs here is paid for each request. A pool lends
connections, and a command then has its own write, its own read and its own timer; on one
connection the commands of one turn of the loop leave together, and so do their answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.store.resp import NoReply, Unfinished, command, reply


class Line:
    """Connects when it is first asked, and again after a fault. Raises redis-py's errors."""

    def __init__(self, host: str, port: int, hello: Sequence[bytes], *, timeout_s: float) -> None:
        """Args: `hello` are the commands that open a connection; `timeout_s` is for each answer."""
        self._host = host
        self._port = port
        self._hello = hello
        self._timeout_s = timeout_s
        self._wire: _Wire | None = None
        self._opening: asyncio.Task[_Wire] | None = None

    @staticmethod
    def to(url: str, *, timeout_s: float) -> Line | None:
        """To a URL such as redis://user:password@host:6379/0; None for what is no plain one."""
        parts = urlsplit(url)
        if parts.scheme != "redis" or not parts.hostname or parts.query or "," in parts.netloc:
            return None
        hello = []
        if parts.password is not None:
            names = [unquote(parts.username)] if parts.username else []
            hello.append(command(["AUTH", *names, unquote(parts.password)]))
        database = parts.path.strip("/")
        if database and database != "0":
            hello.append(command(["SELECT", database]))
        return Line(parts.hostname, parts.port or 6379, hello, timeout_s=timeout_s)

    async def script(self, digest: str, lua: str, keys: Sequence[str], words: Sequence[Any]) -> Any:
        """What a script gives; `digest` is Redis' own name for it."""
        rest = (len(keys), *keys, *words)
        wire = self._wire
        if wire is None or wire.closed:
            wire = await self._open()
        try:
            return await wire.ask(command(("EVALSHA", digest, *rest)))
        except NoScriptError:
            return await wire.ask(command(("EVAL", lua, *rest)))
        except ReadOnlyError:
            # It was the master once. The next command asks who is it now.
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._opening is not None:
            self._opening.cancel()
        if self._wire is not None:
            self._wire.close()

    async def _open(self) -> _Wire:
        """A connection, opened once for all who wait for it."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add_done_callback(self._opened)
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except OSError as error:
            raise RedisConnectionError(type(error).__name__) from error
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if not opening.cancelled() or (me is not None and me.cancelling()):
                raise
            # Somebody hung up, which does not end those who wait here.
            raise RedisConnectionError("the connection was closed") from None

    async def _connect(self) -> _Wire:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            _, wire = await loop.create_connection(
                lambda: _Wire(self._timeout_s), self._host, self._port
            )
            try:
                for data in self._hello:
                    await wire.ask(data)
            except BaseException:
                wire.close()
                raise
        self._wire = wire
        return wire

    def _opened(self, opening: asyncio.Task[_Wire]) -> None:
        self._opening = None
        # All who waited may have gone: look at the result, or asyncio warns of a lost error.
        if not opening.cancelled():
            opening.exception()


class _Wire(asyncio.Protocol):
    """An open connection. Answers come in the order of their commands."""

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._transport: asyncio.Transport
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._held = b""
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(RedisConnectionError("the connection was lost"))

    def data_received(self, data: bytes) -> None:
        data = self._held + data if self._held else data
        at = 0
        try:
            while at < len(data):
                value, at = reply(data, at)
                self._answer(value)
        except Unfinished:
            self._held = data[at:]
        except (NoReply, ValueError, IndexError):
            self._end(RedisConnectionError("what answers is no Redis"))
        else:
            self._held = b""

    def ask(self, data: bytes) -> asyncio.Future[Any]:
        """The answer to a command."""
        answer = self._loop.create_future()
        if self.closed:
            answer.set_exception(RedisConnectionError("the connection was lost"))
            return answer
        self._waiting.append((answer, self._loop.time() + self._timeout_s))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look)
        self._transport.write(data)
        return answer

    def close(self) -> None:
        """Hang up."""
        self._end(RedisConnectionError("the connection was closed"))

    def _answer(self, value: Any) -> None:
        answer, _ = self._waiting.popleft()
        if answer.done():
            return
        if isinstance(value, ResponseError):
            answer.set_exception(value)
        else:
            answer.set_result(value)

    def _look(self) -> None:
        """Whether the oldest command waits too long: then what comes behind it does too."""
        self._timer = None
        if not self._waiting:
            return
        due = self._waiting[0][1]
        if self._loop.time() >= due:
            self._end(RedisTimeoutError("no answer in time"))
        else:
            self._timer = self._loop.call_at(due, self._look)

    def _end(self, error: Exception) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, deque()
        for answer, _ in waiting:
            if not answer.done():
                answer.set_exception(error)
        self._transport.abort()
