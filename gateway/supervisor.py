"""The parent process: opens the ports, keeps the workers running, answers the admin port."""

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

from fastapi import FastAPI

import gateway
from gateway.api import admin, faults, health
from gateway.api.cache import Results, make_cache_router
from gateway.auth import bootstrap
from gateway.auth.bootstrap import DeclaredKey
from gateway.auth.register import KeyRegister
from gateway.cache.board import Board
from gateway.cache.canonical import Addresses
from gateway.cache.manage import CacheKeeper
from gateway.config import read_secret
from gateway.limits.ledger import Ledger
from gateway.limits.watch import KeyWatch
from gateway.server import Server, listen, stop_in_time
from gateway.settings import Settings
from gateway.store.bytes import ByteStore
from gateway.store.redis import Store
from gateway.telemetry.families import Meter, render
from gateway.telemetry.metrics import CACHE, FAMILIES, Metrics
from gateway.telemetry.sheet import Sheet, SheetFiles, make_files, read
from gateway.worker import READY, Orders

_KILL_AFTER_S = 5.0


def restart_delay(failures: int) -> float:
    """Seconds before a worker that died `failures` times in a row is started again."""
    return min(0.1 * 2.0 ** min(failures - 1, 10), 5.0)


class Slot:
    """A place for one worker: whoever works there counts on the same sheet."""

    def __init__(self, number: int, sheet: SheetFiles) -> None:
        self.number = number
        self.sheet = sheet
        self.process: Process | None = None
        self.ready = False


class Supervisor:
    """Runs the workers of one gateway until SIGTERM or SIGINT."""

    def __init__(
        self, settings: Settings, logger: logging.Logger, declared: tuple[DeclaredKey, ...] = ()
    ) -> None:
        """Args: `declared` are the keys of `auth.bootstrap_file`."""
        self._declared = declared
        self._settings = settings
        self._logger = logger
        self._slots = [Slot(number, make_files()) for number in range(settings.listen.workers)]
        self._own = make_files()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        """Serve until told to stop; the process's exit status. Raises PortTaken."""
        settings = self._settings
        api = listen(
            settings.listen.host,
            settings.listen.port,
            send_buffer_bytes=settings.listen.send_buffer_bytes,
        )
        with api:
            door = listen(settings.admin.host, settings.admin.port)
            self._handle_signals()
            metrics = Metrics(Meter(Sheet(self._own)))
            store = Store(settings.store.url, timeout_s=settings.store.timeout_s, watcher=metrics)
            pepper = read_secret(settings.auth.pepper_file, "auth.pepper_file").encode()
            register = KeyRegister(store, pepper, time.time)
            cache_store = ByteStore(
                settings.store.cache_url or settings.store.url,
                timeout_s=settings.store.timeout_s,
                watcher=metrics,
                now=time.monotonic,
            )
            board = Board(cache_store, lease_s=settings.cache.lease_s)
            server = Server(
                self._admin_app(store, register, board, Addresses(pepper)),
                door,
                max_connections=256,
            )
            serving = asyncio.create_task(server.serve())
            beside = [
                asyncio.create_task(bootstrap.declare(register, self._declared, self._logger)),
                asyncio.create_task(self._key_watch(store, register, metrics).run()),
            ]
            keepers = [asyncio.create_task(self._keep(slot, api)) for slot in self._slots]
            fields = {
                "api": f"{settings.listen.host}:{settings.listen.port}",
                "admin": f"{settings.admin.host}:{settings.admin.port}",
                "workers": settings.listen.workers,
            }
            self._logger.info("starting", extra={"fields": fields})
            await self._stopping.wait()
        # Our copy of the API's socket is closed now: once the workers stop listening, new
        # connections are refused at once instead of waiting in a queue that nobody reads.
        self._logger.info("stopping")
        await self._drain(keepers)
        await stop_in_time(server, serving, 2.0)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await store.close()
        await cache_store.close()
        self._logger.info("stopped")
        return 0

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)

    def _asked_to_stop(self) -> None:
        if self._stopping.is_set():
            # Asked twice: running answers are not waited for.
            self._hurry.set()
        self._stopping.set()

    def _not_ready(self) -> str | None:
        if self._stopping.is_set():
            return "stopping"
        return None if all(slot.ready for slot in self._slots) else "workers are starting"

    def _key_watch(self, store: Store, register: KeyRegister, metrics: Metrics) -> KeyWatch:
        limits = self._settings.limits
        ledger = Ledger(store, lease_s=limits.lease_s, usage_days=limits.usage_days)
        return KeyWatch(register, ledger, limits, metrics, wall=time.time, sleep=asyncio.sleep)

    def _admin_app(
        self, store: Store, register: KeyRegister, board: Board, addresses: Addresses
    ) -> FastAPI:
        key_file = self._settings.admin.key_file
        admin_key = None if key_file is None else read_secret(key_file, "admin.key_file")
        app = FastAPI(title="r1 admin", docs_url=None, redoc_url=None, openapi_url=None)
        faults.install(app)
        app.include_router(health.make_router(self._not_ready))
        app.include_router(admin.make_metrics_router(self._render_metrics))
        guard = admin.admins_only(register, admin_key, time.time)
        app.include_router(admin.make_keys_router(register, guard))
        app.include_router(admin.make_usage_router(store, guard))
        keeper = CacheKeeper(board, addresses)
        app.include_router(make_cache_router(keeper, self._cache_results, guard))
        return app

    def _render_metrics(self) -> str:
        sheets = [slot.sheet for slot in self._slots]
        return render(FAMILIES, [read(sheet) for sheet in (*sheets, self._own)])

    def _cache_results(self) -> Results:
        """Requests since the start, by model and by what the cache had for them."""
        results: Results = {}
        for slot in self._slots:
            for cell, value in read(slot.sheet):
                if cell.family == CACHE.name:
                    labels = dict(cell.labels)
                    counts = results.setdefault(labels["model"], {})
                    name = labels["result"]
                    counts[name] = counts.get(name, 0) + int(value)
        return results

    async def _keep(self, slot: Slot, api: socket.socket) -> None:
        """Keep a worker in `slot` until the gateway stops."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._work(slot, api)
            slot.ready = False
            slot.process = None
            if self._stopping.is_set():
                return
            # What was in flight died with the worker.
            Metrics(Meter(Sheet(slot.sheet)))
            failures = 1 if time.monotonic() - began > 30 else failures + 1
            fields = {"worker": slot.number, "status": status, "failures": failures}
            self._logger.error("worker_died", extra={"fields": fields})
            try:
                await asyncio.wait_for(self._stopping.wait(), restart_delay(failures))
            except TimeoutError:
                continue

    async def _work(self, slot: Slot, api: socket.socket) -> int:
        """Run one worker to its end; its exit status."""
        orders = Orders(
            parent=os.getpid(),
            listener=api.fileno(),
            sheet_cells=slot.sheet.cells,
            sheet_names=slot.sheet.names,
            settings=json.dumps(self._settings.model_dump(mode="json")),
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.worker",
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(api.fileno(), slot.sheet.cells, slot.sheet.names),
            env={**os.environ, "PYTHONPATH": _python_path()},
        )
        slot.process = process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a worker was started without pipes")
        try:
            process.stdin.write(orders.dump())
            await process.stdin.drain()
            slot.ready = await process.stdout.readline() == READY
        except (BrokenPipeError, ConnectionResetError):
            slot.ready = False
        if slot.ready:
            fields = {"worker": slot.number, "worker_process": process.pid}
            self._logger.info("worker_ready", extra={"fields": fields})
        return await process.wait()

    async def _drain(self, keepers: list[asyncio.Task[None]]) -> None:
        """Have all workers finish what they do and end; kill those that take too long."""
        self._signal_all(signal.SIGTERM)
        listen_settings = self._settings.listen
        grace = listen_settings.drain_delay_s + listen_settings.drain_timeout_s + _KILL_AFTER_S
        hurry: asyncio.Future[bool] = asyncio.ensure_future(self._hurry.wait())
        ended: asyncio.Future[bool] = asyncio.ensure_future(_all(keepers))
        await asyncio.wait((hurry, ended), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not ended.done():
            self._logger.warning("killing_workers")
            self._signal_all(signal.SIGKILL)
        await ended

    def _signal_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.process is not None and slot.process.returncode is None:
                slot.process.send_signal(number)


def _python_path() -> str:
    """Where workers find this package, also when it is run from its source folder."""
    root = str(Path(gateway.__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))


async def _all(tasks: list[asyncio.Task[None]]) -> bool:
    await asyncio.gather(*tasks)
    return True
