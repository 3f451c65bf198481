"""The parent process: opens the ports, keeps the workers running, answers the admin port.

A reload starts new workers on the same socket. When they serve, the old ones take nothing new,
finish what they do and end; nobody is refused meanwhile, and what the old ones counted stays.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from gateway.admin import Desk
from gateway.call import Message, Receive, Send
from gateway.config import ConfigError, remarks
from gateway.crew import Crew
from gateway.limits.ledger import TENANTS_NAMED
from gateway.reload import Configuration, Watch, check_fixed, marks
from gateway.server import Server, listen, stop_in_time
from gateway.settings import Settings
from gateway.telemetry.families import Meter
from gateway.telemetry.logs import configure
from gateway.telemetry.metrics import FAMILIES, Metrics
from gateway.telemetry.sheet import Sheet
from gateway.telemetry.tally import Tally
from gateway.telemetry.tenants import at_most

_COMES_UP_S = 120.0
"""How long new workers may take to serve before a reload is given up."""


@dataclass(frozen=True, slots=True)
class _InForce:
    """A configuration, and who acts by it."""

    configuration: Configuration
    crew: Crew
    desk: Desk


class Supervisor:
    """Runs the workers of one gateway until SIGTERM or SIGINT."""

    def __init__(self, read: Callable[[], Configuration]) -> None:
        """Reads the configuration once; raises ConfigError. Call it inside the event loop."""
        self._read = read
        self._first = read()
        self._logger = configure(self._first.settings.telemetry.log_level)
        self._tally = Tally(FAMILIES, at_most(TENANTS_NAMED))
        self._metrics = Metrics(Meter(Sheet(self._tally.open())))
        self._watch = Watch(self._first.marks)
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._due = asyncio.Event()  # a reload, or the end
        self._by_hand = False
        self._fault: str | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until told to stop; the process's exit status. Raises PortTaken."""
        settings = self._first.settings
        api = listen(
            settings.listen.host,
            settings.listen.port,
            send_buffer_bytes=settings.listen.send_buffer_bytes,
            write_timeout_s=settings.listen.write_timeout_s,
        )
        with api:
            # For the workers, which have no use for the admin port's.
            api.set_inheritable(True)
            door = listen(settings.admin.host, settings.admin.port)
            self._handle_signals()
            self._in_force = self._begin(self._first, api)
            self._in_force.desk.open()
            server = Server(self._answer, door, max_connections=256)
            serving = asyncio.create_task(server.serve())
            watching = asyncio.create_task(self._watch_files())
            self._tell("starting", settings)
            while not self._stopping.is_set():
                await self._due.wait()
                self._due.clear()
                if not self._stopping.is_set():
                    await self._reload(api)
        # Our copy of the API's socket is closed now: once the workers stop listening, new
        # connections are refused at once instead of waiting in a queue that nobody reads.
        self._logger.info("stopping")
        watching.cancel()
        await asyncio.gather(self._in_force.crew.stop(self._hurry), *self._retiring)
        await stop_in_time(server, serving, 2.0)
        await self._in_force.desk.close()
        await asyncio.gather(watching, return_exceptions=True)
        self._logger.info("stopped")
        return 0

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._asked_to_reload)

    def _asked_to_stop(self) -> None:
        if self._stopping.is_set():
            # Asked twice: running answers are not waited for.
            self._hurry.set()
        self._stopping.set()
        self._due.set()

    def _asked_to_reload(self) -> None:
        self._by_hand = True
        self._due.set()

    def _not_ready(self) -> str | None:
        if self._stopping.is_set():
            return "stopping"
        return None if self._in_force.crew.ready else "workers are starting"

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        await self._in_force.desk.app(scope, receive, send)

    def _begin(self, configuration: Configuration, api: socket.socket) -> _InForce:
        """Start workers and make what the admin port needs. Raises ConfigError."""
        desk = Desk(configuration, self._metrics, self._tally, self._not_ready, self._logger)
        crew = Crew(configuration.settings, api, self._tally, self._logger)
        return _InForce(configuration, crew, desk)

    async def _watch_files(self) -> None:
        """Have the configuration read again when its files say something new."""
        while True:
            settings = self._in_force.configuration.settings.reload
            await asyncio.sleep(settings.interval_s)
            if settings.watch:
                found = await asyncio.to_thread(marks, self._watch.paths)
                # What was refused may have lacked a file that isn't watched: it is tried again.
                if self._watch.look(found) or self._fault is not None:
                    self._due.set()

    async def _reload(self, api: socket.socket) -> None:
        """Go by what the files say now; if that is no good, all stays as it is."""
        by_hand, self._by_hand = self._by_hand, False
        old = self._in_force
        try:
            configuration = await asyncio.to_thread(self._read)
            self._watch.read(configuration.marks)
            check_fixed(old.configuration.settings, configuration.settings)
            if not by_hand and configuration == old.configuration:
                self._fault = None
                return
            new = self._begin(configuration, api)
        except ConfigError as error:
            self._refuse(str(error), again=not by_hand and str(error) == self._fault)
            return
        self._fault = None
        if not await self._comes_up(new.crew):
            if not self._stopping.is_set():
                self._metrics.config_reloaded("failed")
                self._logger.error("reload_failed")
            self._retire(new)
            return
        self._in_force = new
        await old.desk.rest()
        new.desk.open()
        self._logger.setLevel(configuration.settings.telemetry.log_level.upper())
        self._metrics.config_reloaded("ok")
        self._tell("reloaded", configuration.settings)
        self._retire(old)

    def _refuse(self, fault: str, *, again: bool) -> None:
        self._fault = fault
        if not again:
            self._metrics.config_reloaded("refused")
            fields = {"faults": fault.splitlines()}
            self._logger.error("reload_refused", extra={"fields": fields})

    async def _comes_up(self, crew: Crew) -> bool:
        """Wait until a crew serves; False if it doesn't, or if the gateway stops meanwhile."""
        up = asyncio.create_task(crew.up(_COMES_UP_S))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({up, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if up.done():
            return up.result()
        up.cancel()
        return False

    def _retire(self, old: _InForce) -> None:
        async def leave() -> None:
            await old.crew.retire(self._hurry)
            await old.desk.close()

        task = asyncio.create_task(leave())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _tell(self, event: str, settings: Settings) -> None:
        fields = {
            "api": f"{settings.listen.host}:{settings.listen.port}",
            "admin": f"{settings.admin.host}:{settings.admin.port}",
            "workers": settings.listen.workers,
        }
        self._logger.info(event, extra={"fields": fields})
        if settings.telemetry.log_prompts:
            self._logger.warning("prompts_are_logged")
        for remark in remarks(settings):
            self._logger.warning("remark", extra={"fields": {"remark": remark}})
