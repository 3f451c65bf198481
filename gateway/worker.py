"""A worker process: serves the API port on a socket that its parent opened.

Its parent starts it as `python -m gateway.worker` and writes one line of JSON to its standard
input: what it needs to know. It writes one line to its standard output when it serves. The end
of its standard input means that the parent is gone.

SIGTERM has it stop: for `drain_delay_s` it still takes connections, while it isn't ready any more.
RETIRE has it leave its work to others who are there already: it takes no more connections. After
either, idle connections stay for `drain_idle_s`, and running answers finish within
`drain_timeout_s`; a SIGTERM meanwhile has it not wait.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import signal
import socket
import sys
from dataclasses import asdict, dataclass

import uvloop

from gateway.app import Readiness, gateway
from gateway.config import validate
from gateway.in_flight import InFlight
from gateway.server import Server, affordable
from gateway.settings import Settings
from gateway.telemetry.families import Meter
from gateway.telemetry.logs import configure
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, SheetFiles

READY = b"ready\n"
RETIRE = signal.SIGUSR1
LAST_WORDS_S = 2.0
"""How long callers whose answers are cut may take to read so."""
_GARBAGE = (20_000, 20, 20)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Orders:
    """What a parent tells its worker."""

    parent: int
    listener: int
    sheet_cells: int
    sheet_names: int
    settings: str

    def dump(self) -> bytes:
        """As a line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def load(line: bytes) -> Orders:
        """From a line."""
        return Orders(**json.loads(line))


def main() -> int:
    """Serve until SIGTERM; the process's exit status."""
    orders = Orders.load(sys.stdin.buffer.readline())
    die_with(orders.parent)
    settings = validate(json.loads(orders.settings))
    return uvloop.run(serve(orders, settings))


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class _Notice:
    """What the parent has told this worker."""

    def __init__(self) -> None:
        self.order = signal.SIGTERM
        self.given = asyncio.Event()
        self.hurry = asyncio.Event()

    def give(self, order: signal.Signals) -> None:
        """The first order counts; after it SIGTERM says: hurry."""
        if not self.given.is_set():
            self.order = order
            self.given.set()
        elif order == signal.SIGTERM:
            self.hurry.set()


def pause_s(settings: Settings, order: signal.Signals) -> float:
    """Seconds for which a worker that leaves still takes connections."""
    return 0.0 if order == RETIRE else settings.listen.drain_delay_s


async def serve(orders: Orders, settings: Settings) -> int:
    """Serve on the parent's socket until told to leave; the process's exit status."""
    logger = configure(settings.telemetry.log_level)
    metrics = Metrics(Meter(Sheet(SheetFiles(orders.sheet_cells, orders.sheet_names))))
    readiness = Readiness()
    in_flight = InFlight()
    notice = _Notice()
    loop = asyncio.get_running_loop()
    for order in (signal.SIGTERM, RETIRE):
        loop.add_signal_handler(order, notice.give, order)
    # These reach the whole process group; the parent decides what follows from them.
    for number in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    # The kernel's signal at the parent's death exists on Linux only; this works everywhere.
    loop.add_reader(sys.stdin.fileno(), _parent_gone)
    async with gateway(settings, metrics, logger, readiness, in_flight) as app:
        listener = socket.socket(fileno=orders.listener)
        server = Server(
            app,
            listener,
            max_connections=affordable(settings.listen.max_connections),
            header_timeout_s=settings.listen.header_timeout_s,
            idle_timeout_s=settings.listen.idle_timeout_s,
        )
        # What is there now stays: only what comes later is looked through, and not so often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GARBAGE)
        serving = asyncio.create_task(server.serve())
        readiness.reason = None
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        told = asyncio.create_task(notice.given.wait())
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            return 1
        if notice.order != RETIRE:
            readiness.reason = "stopping"
        left = await _leave(server, serving, notice, settings)
        if not left:
            if cut := in_flight.end():
                logger.warning("drain_timeout", extra={"fields": {"requests_cut": cut}})
            server.stop()
            await asyncio.wait({serving}, timeout=LAST_WORDS_S)
    return 0


async def _leave(
    server: Server, serving: asyncio.Task[None], notice: _Notice, settings: Settings
) -> bool:
    """Wait until all is answered; False if the time for that is over, or somebody hurries."""
    server.leave()
    if notice.order == RETIRE:
        server.close_door()
    hurried = asyncio.create_task(notice.hurry.wait())
    await asyncio.wait({hurried}, timeout=pause_s(settings, notice.order))
    server.stop(settings.drain_idle_s)
    await asyncio.wait(
        {serving, hurried}, timeout=settings.drain_s, return_when=asyncio.FIRST_COMPLETED
    )
    hurried.cancel()
    return serving.done()


def _parent_gone() -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
