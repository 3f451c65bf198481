"""Where spans go, as the configuration says."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from gateway.http.client import HttpClient
from gateway.settings import Settings
from gateway.telemetry.collector import Collector
from gateway.telemetry.spans import NoSpans, Spans

_FLUSH_S = 2.0


@asynccontextmanager
async def exporting(
    settings: Settings, http: HttpClient, logger: logging.Logger
) -> AsyncIterator[Spans]:
    """Takes spans and sends them for as long as the context is open."""
    telemetry = settings.telemetry
    if telemetry.otlp_endpoint is None:
        yield NoSpans()
        return
    # An extra: who doesn't export spans needs nothing of it, and loads nothing.
    from gateway.telemetry.otlp import OtlpSpans, encode

    resource: dict[str, str | int] = {
        "service.name": telemetry.service_name,
        "process.pid": os.getpid(),
    }
    collector = Collector(
        http,
        telemetry.otlp_endpoint,
        partial(encode, resource=resource),
        logger,
        asyncio.sleep,
    )
    sending = asyncio.create_task(collector.run())
    try:
        yield OtlpSpans(
            collector.add,
            wall_ns=time.time_ns,
            address=settings.listen.host,
            port=settings.listen.port,
        )
    finally:
        sending.cancel()
        await asyncio.wait({sending})
        await collector.flush(_FLUSH_S)
