"""The doors of all models in one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial
from hashlib import blake2b

from gateway.batching.board import Board
from gateway.batching.guest import Guest
from gateway.batching.lane import Lane
from gateway.batching.lua import CHANNEL
from gateway.batching_settings import Batching
from gateway.call import Call
from gateway.endless import end
from gateway.store.redis import Store, StoreDown
from gateway.telemetry.metrics import Metrics
from gateway.upstream.affinity import conversation, prefix
from gateway.upstream.pool import Model, Upstream
from gateway.upstream.visit import Visit

_AGAIN_S = 1.0


class Door:
    """Gives each attempt a place at a replica, which it keeps until it ends."""

    def __init__(
        self,
        board: Board,
        settings: Batching,
        metrics: Metrics,
        worker: str,
        *,
        workers: int,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Args: `settings` are for models without their own; `worker` is the name on the board,
        one of `workers` of this gateway."""
        self._board = board
        self._settings = settings
        self._metrics = metrics
        self._worker = worker
        self._workers = workers
        self._sleep = sleep
        self._lanes: dict[str, tuple[Model, Lane]] = {}
        """By model."""
        self._running: set[asyncio.Task[None]] = set()

    async def enter(
        self, call: Call, tried: Collection[Upstream], *, continuing: bool = False
    ) -> Visit:
        """A visit at an upstream, if possible not one of `tried`, when there is a place.

        `continuing`: an answer that has begun goes on, so it goes before all who wait. Raises
        UpstreamUnavailable if nobody is left, Overloaded if waiting is of no use.
        """
        model, key = call.model, call.key
        tenant = "" if key is None else key.tenant
        # Where there is one server the choice needs no hash.
        several = len(model.upstreams) > 1
        belongs = conversation(call.asked.body, tenant) if several else None
        settings = model.settings.batching or self._settings
        if settings.mode == "off":
            return model.pool.visit(belongs, tried, continuing=continuing)
        guest = Guest(
            tenant=tenant,
            key="" if key is None else key.id,
            priority="normal" if key is None else key.terms.priority,
            conversation=belongs,
            prefix=partial(prefix, call.asked.body, tenant),
            time_left=call.time_left(),
            tried=tried,
            continuing=continuing,
            trace=call.trace.pointer,
        )
        return await self._lane(model, settings).enter(guest)

    def waiting(self, model: str) -> int:
        """Requests for a model that have no place yet, in this worker."""
        known = self._lanes.get(model)
        return 0 if known is None else known[1].waiting

    async def listen(self, store: Store) -> None:
        """Hear of places that are asked for or were given, until cancelled."""
        while True:
            with suppress(StoreDown):
                async for message in store.listen(CHANNEL, self._wake):
                    worker, _, name = message.partition(" ")
                    if worker in ("*", self._worker):
                        self._wake(name)
            await self._sleep(_AGAIN_S)

    async def close(self) -> None:
        """Give all places back, and trade no more."""
        await end(self._running)
        with suppress(StoreDown):
            for _, lane in self._lanes.values():
                await self._board.leave(lane.name)

    def _wake(self, name: str | None = None) -> None:
        for _, lane in self._lanes.values():
            if name in (None, lane.name):
                lane.wake()

    def _lane(self, model: Model, settings: Batching) -> Lane:
        known = self._lanes.get(model.id)
        if known is not None and known[0] is model:
            return known[1]
        lane = Lane(
            model.id,
            model.pool,
            settings,
            self._board,
            self._metrics,
            name=name_on_board(model),
            workers=self._workers,
        )
        self._lanes[model.id] = (model, lane)
        task = asyncio.create_task(lane.run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return lane


def name_on_board(model: Model) -> str:
    """The same for all workers that have the same servers for a model: they share places."""
    urls = sorted(each.url for each in model.settings.upstreams)
    return f"{model.id} {blake2b(' '.join(urls).encode(), digest_size=6).hexdigest()}"
