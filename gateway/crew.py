"""The worker processes of one configuration: kept running until the crew has to leave."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import gateway
from gateway.settings import Settings
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, SheetFiles
from gateway.telemetry.tally import Tally
from gateway.worker import LAST_WORDS_S, READY, RETIRE, Orders, pause_s

_KILL_AFTER_S = 5.0


def restart_delay(failures: int) -> float:
    """Seconds before a worker that died `failures` times in a row is started again."""
    return min(0.1 * 2.0 ** min(failures - 1, 10), 5.0)


class Place:
    """A place for one worker: whoever works there counts on the same sheet."""

    def __init__(self, number: int, sheet: SheetFiles) -> None:
        self.number = number
        self.sheet = sheet
        self.process: Process | None = None
        self.ready = False
        self.first = asyncio.get_running_loop().create_future()
        """Whether the first worker here became ready."""


class Crew:
    """Starts the workers, and starts another one where one dies."""

    def __init__(
        self, settings: Settings, api: socket.socket, tally: Tally, logger: logging.Logger
    ) -> None:
        """Call it inside the event loop. `api` is the socket that the workers share."""
        self._settings = settings
        self._api = api
        self._tally = tally
        self._logger = logger
        self._leaving = asyncio.Event()
        self._places = [Place(number, tally.open()) for number in range(settings.listen.workers)]
        self._keepers = [asyncio.create_task(self._keep(place)) for place in self._places]

    @property
    def ready(self) -> bool:
        """Whether all workers serve."""
        return all(place.ready for place in self._places)

    async def up(self, within_s: float) -> bool:
        """Wait until all workers serve; False if one of them died first, or it took longer."""
        firsts = asyncio.gather(*(place.first for place in self._places))
        try:
            return all(await asyncio.wait_for(asyncio.shield(firsts), within_s))
        except TimeoutError:
            return False

    async def stop(self, hurry: asyncio.Event) -> None:
        """Have all workers finish what they do and end, while they still take requests at first.

        Those that take too long are killed. `hurry`: running answers are not waited for.
        """
        await self._leave(signal.SIGTERM, hurry)

    async def retire(self, hurry: asyncio.Event) -> None:
        """The same, but nothing new is taken: another crew does that now."""
        await self._leave(RETIRE, hurry)

    async def _leave(self, order: signal.Signals, hurry: asyncio.Event) -> None:
        self._leaving.set()
        self._signal(order)
        grace_s = pause_s(self._settings, order) + self._settings.drain_s + LAST_WORDS_S
        hurried: asyncio.Future[Any] = asyncio.create_task(hurry.wait())
        ended: asyncio.Future[Any] = asyncio.gather(*self._keepers)
        await asyncio.wait({hurried, ended}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not ended.done():
            # To those that are leaving already it says: hurry.
            self._signal(signal.SIGTERM)
            await asyncio.wait({ended}, timeout=_KILL_AFTER_S)
        if not ended.done():
            self._logger.warning("killing_workers")
            self._signal(signal.SIGKILL)
        await ended

    def _signal(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.process is not None and place.process.returncode is None:
                place.process.send_signal(number)

    async def _keep(self, place: Place) -> None:
        """Keep a worker in `place` until the crew leaves."""
        failures = 0
        while not self._leaving.is_set():
            began = time.monotonic()
            status = await self._work(place)
            place.ready = False
            place.process = None
            if not place.first.done():
                place.first.set_result(False)
            if self._leaving.is_set():
                break
            # What was in flight died with the worker.
            Metrics(Meter(Sheet(place.sheet)))
            failures = 1 if time.monotonic() - began > 30 else failures + 1
            fields = {"worker": place.number, "status": status, "failures": failures}
            self._logger.error("worker_died", extra={"fields": fields})
            try:
                async with asyncio.timeout(restart_delay(failures)):
                    await self._leaving.wait()
            except TimeoutError:
                continue
        self._tally.close(place.sheet)

    async def _work(self, place: Place) -> int:
        """Run one worker to its end; its exit status."""
        orders = Orders(
            parent=os.getpid(),
            listener=self._api.fileno(),
            sheet_cells=place.sheet.cells,
            sheet_names=place.sheet.names,
            settings=json.dumps(self._settings.model_dump(mode="json")),
        )
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.worker",
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=(self._api.fileno(), place.sheet.cells, place.sheet.names),
                env={**os.environ, "PYTHONPATH": _python_path()},
            )
        except OSError as error:
            # The system has no memory, process or descriptor left at the moment.
            return -(error.errno or 1)
        place.process = process
        if self._leaving.is_set():
            # The others were told while this one was being started.
            process.kill()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a worker was started without pipes")
        try:
            process.stdin.write(orders.dump())
            await process.stdin.drain()
            place.ready = await process.stdout.readline() == READY
        except (BrokenPipeError, ConnectionResetError):
            place.ready = False
        if place.ready:
            if not place.first.done():
                place.first.set_result(True)
            fields = {"worker": place.number, "worker_process": process.pid}
            self._logger.info("worker_ready", extra={"fields": fields})
        return await process.wait()


def _python_path() -> str:
    """Where workers find this package, also when it is run from its source folder."""
    root = str(Path(gateway.__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
