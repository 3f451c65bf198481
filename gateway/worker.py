"""A worker process: serves the API port on a socket that its parent opened.

Its parent starts it as `python -m gateway.worker` and writes one line of JSON to its standard
input: what it needs to know. It writes one line to its standard output when it serves. The end
of its standard input means that the parent is gone.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
from dataclasses import asdict, dataclass

import uvloop

from gateway.app import Readiness, gateway
from gateway.config import validate
from gateway.server import Server, stop_in_time
from gateway.settings import Settings
from gateway.telemetry.families import Meter
from gateway.telemetry.logs import configure
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, SheetFiles

READY = b"ready\n"
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


async def serve(orders: Orders, settings: Settings) -> int:
    """Serve on the parent's socket until SIGTERM, then drain."""
    logger = configure(settings.telemetry.log_level)
    metrics = Metrics(Meter(Sheet(SheetFiles(orders.sheet_cells, orders.sheet_names))))
    readiness = Readiness()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    # Ctrl-C reaches the whole process group; the parent decides what follows from it.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    # The kernel's signal at the parent's death exists on Linux only; this works everywhere.
    loop.add_reader(sys.stdin.fileno(), _parent_gone)
    async with gateway(settings, metrics, logger, readiness) as app:
        listener = socket.socket(fileno=orders.listener)
        server = Server(app, listener, max_connections=settings.listen.max_connections)
        serving = asyncio.create_task(server.serve())
        readiness.reason = None
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            return 1
        readiness.reason = "stopping"
        await asyncio.sleep(settings.listen.drain_delay_s)
        in_time = await stop_in_time(server, serving, settings.listen.drain_timeout_s)
    if not in_time:
        logger.warning("drain_timeout")
    return 0 if in_time else 1


def _parent_gone() -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
