"""The composition root of the admin port: what it answers with, by one configuration."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from fastapi import FastAPI

from gateway.api import admin, faults, health
from gateway.api.body_bound import BodyBound
from gateway.api.cache import Results, make_cache_router
from gateway.api.canary import make_canary_router
from gateway.api.request_id import RequestIds
from gateway.auth import bootstrap
from gateway.auth.register import KeyRegister
from gateway.cache.board import Board
from gateway.cache.canonical import Addresses
from gateway.cache.manage import CacheKeeper
from gateway.canary.board import CanaryBoard
from gateway.config import read_secret
from gateway.limits.ledger import Ledger
from gateway.limits.watch import KeyWatch
from gateway.reload import Configuration
from gateway.store.bytes import ByteStore
from gateway.store.redis import Store
from gateway.store.suited import SuitedWatch
from gateway.telemetry.metrics import CACHE, Metrics
from gateway.telemetry.tally import Tally

_BODY_BYTES = 64 * 1024


class Desk:
    """The admin port's application and what runs beside it."""

    def __init__(
        self,
        configuration: Configuration,
        metrics: Metrics,
        tally: Tally,
        not_ready: Callable[[], str | None],
        logger: logging.Logger,
    ) -> None:
        """Raises ConfigError when a file with a secret can't be read."""
        settings = configuration.settings
        pepper = read_secret(settings.auth.pepper_file, "auth.pepper_file").encode()
        key_file = settings.admin.key_file
        admin_key = None if key_file is None else read_secret(key_file, "admin.key_file")
        self._declared = configuration.declared
        self._logger = logger
        self._tally = tally
        self._store = Store(settings.store.url, timeout_s=settings.store.timeout_s, watcher=metrics)
        self._register = KeyRegister(self._store, pepper, time.time)
        self._cache_store = ByteStore(
            settings.store.cache_url or settings.store.url,
            timeout_s=settings.store.timeout_s,
            watcher=metrics,
        )
        keeper = CacheKeeper(
            Board(self._cache_store, lease_s=settings.cache.lease_s), Addresses(pepper)
        )
        limits = settings.limits
        ledger = Ledger(self._store, lease_s=limits.lease_s, usage_days=limits.usage_days)
        self._watch = KeyWatch(
            self._register, ledger, limits, metrics, wall=time.time, sleep=asyncio.sleep
        )
        # Of a Redis that holds keys and answers, the keys say how it has to be.
        stores = [self._store, self._cache_store] if settings.store.cache_url else [self._store]
        self._suited = [SuitedWatch(each, logger, asyncio.sleep) for each in stores]
        self._beside: list[asyncio.Task[None]] = []
        app = FastAPI(title="r1 admin", docs_url=None, redoc_url=None, openapi_url=None)
        faults.install(app)
        app.add_middleware(
            BodyBound, max_bytes=_BODY_BYTES, timeout_s=settings.listen.body_timeout_s
        )
        app.add_middleware(RequestIds, make_id=lambda: secrets.token_hex(12))
        app.include_router(health.make_router(not_ready))
        app.include_router(admin.make_metrics_router(tally.text))
        guard = admin.admins_only(self._register, admin_key, time.time)
        app.include_router(admin.make_keys_router(self._register, guard))
        app.include_router(admin.make_usage_router(self._store, guard))
        app.include_router(make_cache_router(keeper, self._cache_results, guard))
        watched = [
            each.id for each in settings.models if (each.canary or settings.canary).mode != "off"
        ]
        app.include_router(make_canary_router(CanaryBoard(self._store), watched, guard))
        self.app = app

    def open(self) -> None:
        """Begin what runs beside: declaring keys, counting those that will end soon."""
        self._beside = [
            asyncio.create_task(each)
            for each in (
                self._store.watch(asyncio.sleep),
                self._cache_store.watch(asyncio.sleep),
                *(each.run() for each in self._suited),
                bootstrap.keep_declared(self._register, self._declared, self._logger),
                self._watch.run(),
            )
        ]

    async def rest(self) -> None:
        """End what runs beside; requests that are under way can still be answered."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    async def close(self) -> None:
        """End everything."""
        await self.rest()
        await self._store.close()
        await self._cache_store.close()

    def _cache_results(self) -> Results:
        """Requests since the start, by model and by what the cache had for them."""
        results: Results = {}
        for sheet in self._tally.read():
            for cell, value in sheet:
                if cell.family == CACHE.name:
                    labels = dict(cell.labels)
                    counts = results.setdefault(labels["model"], {})
                    name = labels["result"]
                    counts[name] = counts.get(name, 0) + int(value)
        return results
