"""The composition root of a worker: every object is made here, once, and handed its needs."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from starlette.routing import Route

from gateway.api import balance, faults, health, models, openapi, stored
from gateway.api.front import Front
from gateway.api.inference import InferenceRoute
from gateway.api.request_id import RequestIds
from gateway.api.schemas import ROUTES
from gateway.auth.authenticate import Authenticator
from gateway.auth.cache import KeyCache
from gateway.auth.register import KeyRegister
from gateway.batching.board import SharedBoard
from gateway.batching.door import Door
from gateway.cache.board import Board
from gateway.cache.canonical import Addresses
from gateway.cache.means import Means
from gateway.cache.stage import ResponseCache
from gateway.canary.board import CanaryBoard
from gateway.canary.rounds import Canary
from gateway.config import read_secret
from gateway.endless import end
from gateway.in_flight import InFlight
from gateway.limits.estimate import Estimates
from gateway.limits.hold import KeyLimits
from gateway.limits.leases import Leases
from gateway.limits.ledger import Ledger
from gateway.limits.settler import Settler
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.pipeline import Pipeline
from gateway.router import Router
from gateway.settings import Settings
from gateway.store.bytes import ByteStore
from gateway.store.redis import Store
from gateway.telemetry.export import exporting
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.spans import Tracing
from gateway.telemetry.trace import follow
from gateway.upstream.adapters import Adapters, Read
from gateway.upstream.attempt import Attempt
from gateway.upstream.budget import RetryBudget
from gateway.upstream.client import UpstreamClient, make_http
from gateway.upstream.demand import Demand
from gateway.upstream.discovery import Discovery
from gateway.upstream.fallback import Fallback
from gateway.upstream.fit import FitContext
from gateway.upstream.hedge import Hedge
from gateway.upstream.judge import Judge
from gateway.upstream.listing import Listing
from gateway.upstream.pool import Model, make_model
from gateway.upstream.probe import Probe, watches
from gateway.upstream.registry import read_replicas
from gateway.upstream.retry import Retry

_LOOK_AROUND_S = 2.0
"""How long a new worker may wait for its first looks before it serves."""
_LOOK_STEP_S = 0.02
_MEET_S = 3.0
"""How long a new worker may wait for its store before it serves without one: so long between looks,
each of which takes a silent store's `store.timeout_s`."""
_MEET_AGAIN_S = 0.1
_BEAT_S = 1.0
_FLUSH_S = 2.0
"""How long the last settlements may take to reach the store when a worker ends."""
_PLACES_S = 5.0
"""How long a dead worker's places at replicas are kept for it."""


@dataclass(slots=True)
class Readiness:
    """Why this worker is not ready; None when it is."""

    reason: str | None = "starting"


@asynccontextmanager
async def gateway(
    settings: Settings,
    metrics: Metrics,
    logger: logging.Logger,
    readiness: Readiness,
    in_flight: InFlight,
) -> AsyncIterator[Front]:
    """The gateway's application with all that runs beside it; call it inside the event loop."""
    store = Store(settings.store.url, timeout_s=settings.store.timeout_s, watcher=metrics)
    cache_store = ByteStore(
        settings.store.cache_url or settings.store.url,
        timeout_s=settings.store.timeout_s,
        watcher=metrics,
    )
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
    settler = Settler(ledger, metrics, _new_id(), asyncio.sleep, named=metrics.tenants())
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
    for model in router.models:
        metrics.begin(model.id)
    limits = KeyLimits(ledger, settler, leases, Estimates(), make_id=_new_id, sleep=asyncio.sleep)
    cache = ResponseCache(
        Addresses(pepper),
        Means(
            Board(cache_store, lease_s=settings.cache.lease_s),
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
    async with AsyncExitStack() as stack:
        http = stack.enter_context(closing(make_http()))
        spans = await stack.enter_async_context(exporting(settings, http, logger))
        client = UpstreamClient(http, max_answer_bytes=settings.pool.max_answer_bytes)
        worker = _new_id()
        door = Door(
            SharedBoard(store, worker, lease_s=_PLACES_S),
            settings.batching,
            metrics,
            worker,
            workers=settings.listen.workers,
            sleep=asyncio.sleep,
        )
        budget = RetryBudget(store, settings.retry, metrics)
        pipeline = Pipeline(
            listen=settings.listen,
            bounds=settings.bounds,
            authenticate=authenticate,
            router=router,
            metrics=metrics,
            limits=limits,
            cache=cache,
            attempt=Fallback(
                Retry(
                    Attempt(
                        client,
                        FitContext(client),
                        metrics,
                        Judge(budget, metrics),
                        Hedge(budget),
                        door,
                        make_id=_new_id,
                        spans=spans,
                        bits=random.getrandbits,
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
        telemetry = settings.telemetry
        # A trace that begins here is nobody's but ours: without a collector it is not recorded.
        ratio = 0.0 if telemetry.otlp_endpoint is None else telemetry.sample_ratio
        tracing = Tracing(
            partial(follow, bits=random.getrandbits, sample=lambda: random.random() < ratio), spans
        )
        app = make_app(
            pipeline,
            metrics,
            logger,
            authenticate,
            router,
            readiness,
            in_flight,
            ledger,
            tracing,
            log_prompts=settings.telemetry.log_prompts,
        )
        probe = Probe(client, metrics, logger, asyncio.sleep, time.monotonic)
        interval_s = settings.telemetry.probe_interval_s
        listing = Listing(client, router, metrics, logger, asyncio.sleep, make)
        read = partial(read_replicas, store)
        registered = [each for each in router.models if each.settings.discovery == "registry"]

        async def follow_registry(model: Model, read: Read) -> None:
            await Discovery(
                model,
                _discovery_key(model.settings),
                read,
                partial(probe.watch, interval_s=interval_s),
                metrics,
                logger,
                now=time.monotonic,
                sleep=asyncio.sleep,
            ).run()

        adapters = [
            Adapters(
                model,
                read,
                router,
                make,
                follow_registry,
                metrics.upstream_gone,
                logger,
                asyncio.sleep,
            )
            for model in registered
        ]
        canaries = [
            Canary(
                model,
                partial(_family, model, adapters, router),
                CanaryBoard(store),
                client,
                chosen,
                metrics,
                logger,
                wall=time.time,
                sleep=asyncio.sleep,
            )
            for model in router.models
            if (chosen := model.settings.canary or settings.canary).mode != "off"
        ]
        beside: list[Callable[[], Awaitable[None]]] = [
            lambda: _beat(metrics),
            lambda: authenticate.hear_revocations(store, asyncio.sleep),
            partial(store.watch, asyncio.sleep),
            partial(cache_store.watch, asyncio.sleep),
            lambda: door.listen(store),
            settler.run,
            leases.run,
            *watches(probe, router.models, interval_s),
            *(partial(follow_registry, model, read) for model in registered),
            *(each.run for each in adapters),
            *(each.run for each in canaries),
            *(
                Demand(
                    store,
                    each.base.id,
                    worker,
                    partial(_waiting, door, each),
                    settings.pool.registry_interval_s,
                    asyncio.sleep,
                ).run
                for each in adapters
            ),
            *(partial(listing.watch, source, interval_s) for source in settings.discover),
        ]
        try:
            async with _running(beside):
                sources = [each.url for each in settings.discover]
                await asyncio.gather(
                    _look_around(router, sources + [each.source for each in adapters]),
                    _meet(store),
                )
                yield Front(app)
        finally:
            await door.close()
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
    in_flight: InFlight,
    ledger: Ledger,
    tracing: Tracing,
    *,
    log_prompts: bool = False,
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
            api,
            pipeline,
            metrics,
            logger,
            tracing,
            in_flight,
            now=time.perf_counter,
            make_id=_new_id,
            log_prompts=log_prompts,
        )
        for prefix in ("/v1", ""):
            app.router.routes.append(Route(prefix + path, route, methods=["POST"]))
    return app


async def _beat(metrics: Metrics) -> None:
    """Say again and again that this worker works: one that hangs or is stopped does not."""
    while True:
        metrics.beat(time.time())
        await asyncio.sleep(_BEAT_S)


@asynccontextmanager
async def _running(beside: list[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Keep endless tasks running for as long as the context is open."""

    async def run(one: Callable[[], Awaitable[None]]) -> None:
        await one()

    tasks = {asyncio.create_task(run(one)) for one in beside}
    try:
        yield
    finally:
        await end(tasks)


async def _look_around(router: Router, sources: Sequence[str]) -> None:
    """Wait until all model servers were looked at once, or for as long as there is patience.

    A worker that takes over from another one has to know what that one knew.
    """
    for _ in range(round(_LOOK_AROUND_S / _LOOK_STEP_S)):
        if router.looked_around(sources):
            return
        await asyncio.sleep(_LOOK_STEP_S)


async def _meet(store: Store) -> None:
    """Wait until the store has answered, or for as long as there is patience.

    The first connections take their time on a busy machine. A worker that can't look up a key yet
    would refuse callers whom those before it knew.
    """
    for _ in range(round(_MEET_S / _MEET_AGAIN_S)):
        if await store.met():
            return
        await asyncio.sleep(_MEET_AGAIN_S)


def _waiting(door: Door, adapters: Adapters) -> int:
    """Requests that wait for a replica of a model, to ask it or one of its adapters."""
    return sum(door.waiting(name) for name in (adapters.base.id, *adapters.names))


def _family(model: Model, adapters: Sequence[Adapters], router: Router) -> list[Model]:
    """A model and its adapters: all that its replicas serve."""
    names = [name for each in adapters if each.base is model for name in each.names]
    known = {each.id: each for each in router.models}
    return [model, *(known[name] for name in names if name in known)]


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
