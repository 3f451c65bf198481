"""Looks at each upstream now and then: is it healthy, and what is there to learn of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Protocol

from gateway.errors import UpstreamError
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pool import Model, Upstream

_LOOK_TIMEOUT_S = 5.0


class HealthWatcher(Protocol):
    """Hears what a look found."""

    def upstream_up(self, model: str, upstream: str, up: bool) -> None:
        """`upstream` of `model` is healthy, or not."""


class Probe:
    """Keeps `up`, `context_length` and `think_end` of one upstream true."""

    def __init__(
        self,
        client: UpstreamClient,
        watcher: HealthWatcher,
        logger: logging.Logger,
        sleep: Callable[[float], Awaitable[None]],
        now: Callable[[], float],
    ) -> None:
        self._client = client
        self._watcher = watcher
        self._logger = logger
        self._sleep = sleep
        self._now = now

    async def watch(self, model: Model, upstream: Upstream, interval_s: float) -> None:
        """Look at `upstream` every `interval_s`, until cancelled; sooner while it is down.

        As many times less often as its dialect asks for.
        """
        asked = False
        known_up: bool | None = None
        while True:
            up = await self._client.healthy(upstream, _LOOK_TIMEOUT_S)
            if up and not asked:
                asked = await self._learn(model, upstream)
            if up and known_up is False:
                upstream.since = self._now()
            upstream.up = up
            upstream.looked_at = True
            self._watcher.upstream_up(model.id, upstream.name, up)
            if up != known_up:
                fields = {"model": model.id, "upstream": upstream.name, "up": up}
                self._logger.info("upstream", extra={"fields": fields})
                known_up = up
            if not up:
                # Another server, with another model length, may come up in its place.
                asked = False
            pause = interval_s if up else min(interval_s, 1.0)
            await self._sleep(pause * upstream.dialect.rarely)

    async def _learn(self, model: Model, upstream: Upstream) -> bool:
        try:
            await self._client.learn(upstream, _LOOK_TIMEOUT_S)
        except UpstreamError as error:
            fields = {"model": model.id, "upstream": upstream.name, "code": error.code}
            self._logger.warning("upstream_unknown", extra={"fields": fields})
            return False
        return True


def watches(
    probe: Probe, models: Iterable[Model], interval_s: float
) -> list[Callable[[], Awaitable[None]]]:
    """One endless look for each upstream of each model's configuration, but for the spare ones.

    To look at what wakes a model is to wake it, and to keep it awake.
    """
    return [
        partial(probe.watch, model, upstream, interval_s)
        for model in models
        for upstream in model.upstreams
        if not upstream.spare
    ]
