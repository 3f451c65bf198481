"""Keeps a model's pool to the replicas that are registered."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from gateway.store.redis import StoreDown
from gateway.upstream.breaker import Breaker
from gateway.upstream.dialects.vllm import Vllm
from gateway.upstream.pool import Model, Upstream
from gateway.upstream.registry import Replica

Watched = tuple[Upstream, "asyncio.Task[None]"]


class ReplicaWatcher(Protocol):
    """Hears of replicas that went."""

    def upstream_gone(self, model: str, upstream: str) -> None:
        """`upstream` of `model` is there no more."""


class Discovery:
    """Reads the registry now and then. While it can't be read, what was known last stays.

    So it does for a while when the registry is empty all at once, for Redis may have lost it.
    A replica that is new is asked once a look has found it well; one that goes gets nothing new,
    and what it answers at the moment goes on.
    """

    def __init__(
        self,
        model: Model,
        key: str | None,
        read: Callable[[str], Awaitable[list[Replica]]],
        watch: Callable[[Model, Upstream], Awaitable[None]],
        watcher: ReplicaWatcher,
        logger: logging.Logger,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Args: `key` is the engine key; `read` gives a model's replicas or raises StoreDown;
        `watch` keeps an upstream's health true until it is cancelled."""
        self._model = model
        self._authorization = None if key is None else f"Bearer {key}"
        self._read = read
        self._watch = watch
        self._watcher = watcher
        self._logger = logger
        self._now = now
        self._sleep = sleep
        self._known: dict[tuple[str, str], Watched] = {}
        self._spared_until: float | None = None
        # Those that were there before this worker need no slow start.
        self._since = -math.inf

    async def run(self) -> None:
        """Keep the pool true until cancelled."""
        async with asyncio.TaskGroup() as watching:
            while True:
                with suppress(StoreDown):
                    self._update(await self._read(self._model.id), watching)
                await self._sleep(self._model.pool.settings.registry_interval_s)

    def _update(self, replicas: Sequence[Replica], watching: asyncio.TaskGroup) -> None:
        missing = self._known.keys() - {(each.name, each.url) for each in replicas}
        for place in set() if self._spares(replicas) else missing:
            upstream, task = self._known.pop(place)
            task.cancel()
            if not upstream.draining:
                # Nobody looks at it any more, and its answers should not wait for it for long.
                upstream.up = False
            self._watcher.upstream_gone(self._model.id, upstream.name)
            self._log("replica_gone", upstream)
        for each in replicas:
            place = (each.name, each.url)
            if place not in self._known:
                upstream = self._make(each)
                watch = watching.create_task(self._run_watch(upstream))
                self._known[place] = upstream, watch
                self._log("replica_found", upstream)
            upstream, _ = self._known[place]
            upstream.draining = each.draining
            upstream.capacity = each.capacity
            upstream.adapters = each.adapters
            upstream.weights = each.weights
        self._model.pool.replace([upstream for upstream, _ in self._known.values()])
        self._teach()
        self._since = self._now()

    def _teach(self) -> None:
        """What a replica told of the model is true of the spare ones too, who are not looked at."""
        learned = [each for each, _ in self._known.values() if each.learned]
        for each in self._model.upstreams if learned else ():
            if each.spare:
                each.context_length = learned[0].context_length
                each.think_end = learned[0].think_end

    def _spares(self, replicas: Sequence[Replica]) -> bool:
        """Whether those that are missing stay for now."""
        now, asked = self._now(), [each for each, _ in self._known.values() if not each.draining]
        if self._spared_until is None:
            if asked and not replicas:
                self._spared_until = now + self._model.pool.settings.registry_keep_s
        elif now >= self._spared_until and (replicas or not asked):
            self._spared_until = None
        return self._spared_until is not None and now < self._spared_until

    async def _run_watch(self, upstream: Upstream) -> None:
        await self._watch(self._model, upstream)

    def _make(self, replica: Replica) -> Upstream:
        settings = self._model.settings
        return Upstream(
            name=replica.name,
            url=replica.url,
            model=settings.id,
            weight=1.0,
            authorization=self._authorization,
            dialect=Vllm(),
            up=False,
            context_length=settings.context_length,
            think_end=settings.think_end_token_id,
            since=self._since,
            breaker=Breaker(self._model.pool.settings),
        )

    def _log(self, event: str, upstream: Upstream) -> None:
        fields = {"model": self._model.id, "upstream": upstream.name, "url": upstream.url}
        self._logger.info(event, extra={"fields": fields})
