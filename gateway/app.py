"""The composition root of a worker: every object is made here, once, and handed its needs."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from starlette.routing import Route

from gateway.api import balance, faults, health, models, openapi, stored
from gateway.api.inference import InferenceRoute
from gateway.api.request_id import RequestIds
from gateway.api.schemas import ROUTES
from gateway.auth.authenticate import Authenticator
from gateway.auth.cache import KeyCache
from gateway.auth.register import KeyRegister
from gateway.cache.board import Board
from gateway.cache.canonical import Addresses
from gateway.cache.means import Means
from gateway.cache.stage import ResponseCache
from gateway.config import read_secret
from gateway.limits.estimate import Estimates
from gateway.limits.hold import KeyLimits
from gateway.limits.leases import Leases
from gateway.limits.ledger import Ledger
from gateway.limits.settler import Settler
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.pipeline import NoAdmission, Pipeline
from gateway.router import Router
from gateway.settings import Settings
from gateway.store.bytes import ByteStore
from gateway.store.redis import Store
from gateway.telemetry.metrics import Metrics
from gateway.upstream.attempt import Attempt
from gateway.upstream.budget import RetryBudget
from gateway.upstream.client import UpstreamClient, make_session
from gateway.upstream.discovery import Discovery
from gateway.upstream.fallback import Fallback
from gateway.upstream.fit import FitContext
from gateway.upstream.hedge import Hedge
from gateway.upstream.language import LanguageGuard
from gateway.upstream.listing import Listing
from gateway.upstream.pool import make_model
from gateway.upstream.probe import Probe, watches
from gateway.upstream.registry import read_replicas
from gateway.upstream.retry import Retry

_FLUSH_S = 2.0
"""How long the last settlements may take to reach the store when a worker ends."""


@dataclass(slots=True)
class Readiness:
    """Why this worker is not ready; None when it is."""

    reason: str | None = "starting"


@asynccontextmanager
async def gateway(
    settings: Settings, metrics: Metrics, logger: logging.Logger, readiness: Readiness
) -> AsyncIterator[FastAPI]:
    """The gateway's application with all that runs beside it; call it inside the event loop."""
    store = Store(settings.store.url, timeout_s=settings.store.timeout_s, watcher=metrics)
    pepper = read_secret(settings.auth.pepper_file, "auth.pepper_file").encode()
    authenticate = Authenticator(
        KeyRegister(store, pepper, time.time),
        KeyCache(
            size=settings.auth.cache_size,
            ttl_s=settings.auth.cache_ttl_s,
            stale_s=settings.auth.stale_s,
        ),
        metrics,
        time.monotonic,
        time.time,
    )
    lease_s = settings.limits.lease_s
    ledger = Ledger(store, lease_s=lease_s, usage_days=settings.limits.usage_days)
    settler = Settler(ledger, metrics, _new_id(), asyncio.sleep)
    leases = Leases(ledger, asyncio.sleep, lease_s=lease_s)
    make = partial(
        make_model,
        read_key=_engine_key,
        pool=settings.pool,
        watcher=metrics,
        now=time.monotonic,
        draw=random.random,
    )
    router = Router([make(model) for model in settings.models])
    limits = KeyLimits(ledger, settler, leases, Estimates(), make_id=_new_id, sleep=asyncio.sleep)
    cache = ResponseCache(
        Addresses(pepper),
        Means(
            Board(_cache_store(settings, metrics), lease_s=settings.cache.lease_s),
            settings.cache,
            now=time.time,
            draw=random.random,
            make_id=_new_id,
        ),
        router,
        metrics,
        logger,
        limits.charge,
    )
    async with make_session() as session:
        client = UpstreamClient(session)
        budget = RetryBudget(store, settings.retry, metrics)
        pipeline = Pipeline(
            listen=settings.listen,
            bounds=settings.bounds,
            authenticate=authenticate,
            router=router,
            metrics=metrics,
            limits=limits,
            cache=cache,
            admission=NoAdmission(),
            attempt=Fallback(
                Retry(
                    Attempt(
                        client,
                        FitContext(client),
                        metrics,
                        LanguageGuard(budget, metrics),
                        Hedge(budget),
                        make_id=_new_id,
                    ),
                    budget,
                    settings.retry,
                    metrics,
                    draw=random.random,
                    sleep=asyncio.sleep,
                ),
                router.find,
            ),
        )
        app = make_app(pipeline, metrics, logger, authenticate, router, readiness, ledger)
        probe = Probe(client, metrics, logger, asyncio.sleep, time.monotonic)
        interval_s = settings.telemetry.probe_interval_s
        listing = Listing(client, router, metrics, logger, asyncio.sleep, make)
        beside: list[Callable[[], Awaitable[None]]] = [
            lambda: authenticate.hear_revocations(store, asyncio.sleep),
            settler.run,
            leases.run,
            *watches(probe, router.models, interval_s),
            *(
                Discovery(
                    model,
                    _discovery_key(model.settings),
                    partial(read_replicas, store),
                    partial(probe.watch, interval_s=interval_s),
                    metrics,
                    logger,
                    now=time.monotonic,
                    sleep=asyncio.sleep,
                ).run
                for model in router.models
                if model.settings.discovery == "registry"
            ),
            *(partial(listing.watch, source, interval_s) for source in settings.discover),
        ]
        try:
            async with _running(beside):
                yield app
        finally:
            await cache.close()
            await settler.flush(_FLUSH_S)
            await store.close()


def make_app(
    pipeline: Pipeline,
    metrics: Metrics,
    logger: logging.Logger,
    authenticate: Authenticator,
    router: Router,
    readiness: Readiness,
    ledger: Ledger,
) -> FastAPI:
    """The application: plain routes by FastAPI, the inference routes raw."""
    app = FastAPI(title="r1", docs_url=None, redoc_url=None, openapi_url=None)
    faults.install(app)
    app.add_middleware(RequestIds, make_id=_new_id)
    app.include_router(health.make_router(lambda: readiness.reason))
    app.include_router(models.make_router(authenticate, router, created=int(time.time())))
    app.include_router(balance.make_router(authenticate, ledger))
    app.include_router(stored.make_router())
    openapi.install(app)
    for api, (path, *_) in ROUTES.items():
        route = InferenceRoute(
            api, pipeline, metrics, logger, now=time.perf_counter, make_id=_new_id
        )
        for prefix in ("/v1", ""):
            app.router.routes.append(Route(prefix + path, route, methods=["POST"]))
    return app


@asynccontextmanager
async def _running(beside: list[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Keep endless tasks running for as long as the context is open."""

    async def run(one: Callable[[], Awaitable[None]]) -> None:
        await one()

    tasks = {asyncio.create_task(run(one)) for one in beside}
    try:
        yield
    finally:
        # A library that swallows a cancellation must not keep the worker from ending.
        while tasks:
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=0.5)


def _cache_store(settings: Settings, metrics: Metrics) -> ByteStore:
    return ByteStore(
        settings.store.cache_url or settings.store.url,
        timeout_s=settings.store.timeout_s,
        watcher=metrics,
        now=time.monotonic,
    )


def _engine_key(upstream: UpstreamSettings) -> str | None:
    if upstream.key_file is None:
        return None
    return read_secret(upstream.key_file, "models.upstreams.key_file", at_least=1)


def _discovery_key(model: ModelSettings) -> str | None:
    if model.discovery_key_file is None:
        return None
    return read_secret(model.discovery_key_file, "models.discovery_key_file", at_least=1)


def _new_id() -> str:
    return secrets.token_hex(12)
