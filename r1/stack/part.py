"""One process of the stack: how it is started, when it is ready, how it is asked to end."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1.stack.processes import die_with_parent

ReadyCheck = Callable[[], Awaitable[bool]]
READY_POLL_S = 0.1


@dataclass(frozen=True)
class PartSpec:
    """A process of the stack."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    ready: ReadyCheck
    start_limit_s: float
    reports_events: bool = False
    """It takes `--events-fd N` and writes one JSON object a line there."""


class PartFailed(RuntimeError):
    """A part ended, or wasn't ready in time; the message says which and why."""


class Part:
    """A started process. Its output goes to its log, its events to a callback."""

    def __init__(
        self,
        spec: PartSpec,
        process: asyncio.subprocess.Process,
        events: asyncio.Task[None] | None,
    ) -> None:
        self.spec = spec
        self.process = process
        self._events = events

    @classmethod
    async def start(
        cls, spec: PartSpec, on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> "Part":
        """Start the process in a session of its own, so that a terminal's Ctrl-C misses it.

        Raises:
            OSError: the program can't be run.
        """
        command = list(spec.command)
        reading, writing = os.pipe() if spec.reports_events else (None, None)
        if writing is not None:
            command += ["--events-fd", str(writing)]
        try:
            with spec.log.open("ab", buffering=0) as log:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **spec.environment},
                    pass_fds=() if writing is None else (writing,),
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
        except OSError:
            if reading is not None:
                os.close(reading)
            raise
        finally:
            if writing is not None:
                os.close(writing)
        events = None
        if reading is not None and on_event is not None:
            events = asyncio.create_task(_read_events(reading, on_event))
        return cls(spec, process, events)

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    async def wait_ready(self) -> None:
        """Wait until the part's own check says that it serves.

        Raises:
            PartFailed: it ended first, or took longer than its limit.
        """
        try:
            async with asyncio.timeout(self.spec.start_limit_s):
                while not await self.spec.ready():
                    if self.process.returncode is not None:
                        raise PartFailed(self.ending())
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError as error:
            raise PartFailed(
                f"{self.spec.name} wasn't ready after {self.spec.start_limit_s:.0f} s"
            ) from error

    async def wait(self) -> None:
        """Wait until the process has ended and its last events are read."""
        await self.process.wait()
        if self._events is not None:
            await self._events

    def ending(self) -> str:
        """Return in words how the process ended."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"{self.spec.name} was ended by {signal.Signals(-code).name}"
        return f"{self.spec.name} ended with code {code}"

    async def stop(self, grace_s: float) -> bool:
        """Ask the process to end; after `grace_s` seconds end it. Tell whether it obeyed."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                async with asyncio.timeout(grace_s):
                    await self.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
                return False
        return True


async def _read_events(reading: int, on_event: Callable[[dict[str, Any]], None]) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
    )
    try:
        while line := await reader.readline():
            on_event(json.loads(line))
    finally:
        transport.close()


async def http_ok(port: int, path: str, timeout_s: float = 2.0) -> bool:
    """Tell whether a GET on loopback is answered with status 200."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: r1\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split()[1:2] == [b"200"]
