"""LoRA adapters of a model as models of their own: those that its replicas tell of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from pydantic import ValidationError

from gateway.model_settings import ModelSettings
from gateway.router import Router
from gateway.store.redis import StoreDown
from gateway.upstream.pool import Model
from gateway.upstream.registry import Replica

Read = Callable[[str], Awaitable[list[Replica]]]
# Each becomes a label of the metrics: more than these is not what this is for.
_MOST_ADAPTERS = 128


class Adapters:
    """Keeps the router's models true to the adapters of one model.

    A request for an adapter is asked of the replicas that have it loaded. While no replica is
    there at all, what was known last stays: its requests wait for one, as the model's own do.
    """

    def __init__(
        self,
        base: Model,
        read: Read,
        router: Router,
        make: Callable[[ModelSettings], Model],
        follow: Callable[[Model, Read], Awaitable[None]],
        gone: Callable[[str, str], None],
        logger: logging.Logger,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Args: `read` gives a model's replicas or raises StoreDown; `make` makes a model from its
        settings; `follow` keeps its pool true, given how its replicas are read, for as long as it
        is there; `gone` is told of a model and each of its upstreams."""
        self.base = base
        self._read = read
        self._router = router
        self._make = make
        self._follow = follow
        self._gone = gone
        self._logger = logger
        self._sleep = sleep
        # A name that comes back is the same model: its queue and what it counted are there still.
        self._made: dict[str, Model] = {}
        self._replicas: Sequence[Replica] = ()
        self._running: dict[str, asyncio.Task[None]] = {}

    @property
    def source(self) -> str:
        """What the router knows these models by."""
        return f"adapters of {self.base.id}"

    @property
    def names(self) -> tuple[str, ...]:
        """Of those that are there now."""
        return tuple(self._running)

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        names: tuple[str, ...] = ()
        async with asyncio.TaskGroup() as tasks:
            while True:
                with suppress(StoreDown):
                    self._replicas = await self._read(self.base.id)
                    names = present(self._replicas, names)
                    self._update(names, tasks)
                await self._sleep(self.base.pool.settings.registry_interval_s)

    def _update(self, names: Sequence[str], tasks: asyncio.TaskGroup) -> None:
        for name in [each for each in self._running if each not in names]:
            self._running.pop(name).cancel()
            model = self._made[name]
            for upstream in model.upstreams:
                self._gone(name, upstream.name)
            model.pool.replace([])
            self._tell("adapter_gone", name)
        for name in names:
            if name not in self._running and (made := self._model(name)) is not None:
                self._running[name] = tasks.create_task(self._run(made))
                self._tell("adapter_found", name)
        models = [self._made[name] for name in sorted(self._running)]
        self._router.discovered(self.source, models)

    def _model(self, name: str) -> Model | None:
        if name not in self._made:
            try:
                self._made[name] = self._make(described(name, self.base.settings))
            except ValidationError:
                return None
        return self._made[name]

    async def _run(self, model: Model) -> None:
        async def read(name: str) -> list[Replica]:
            return [each for each in self._replicas if name in each.adapters]

        await self._follow(model, read)

    def _tell(self, event: str, name: str) -> None:
        fields = {"model": name, "base": self.base.id}
        self._logger.info(event, extra={"fields": fields})


def present(replicas: Sequence[Replica], known: tuple[str, ...]) -> tuple[str, ...]:
    """The adapters that any replica has; those known last where there is no replica. Pure."""
    if not replicas:
        return known
    names = sorted({name for each in replicas for name in each.adapters})
    return tuple(names[:_MOST_ADAPTERS])


def described(name: str, base: ModelSettings) -> ModelSettings:
    """An adapter's settings: its base's, under its own name, here and at the model servers.

    Raises ValidationError if the name can't be a model's id here.
    """
    said = base.model_dump(exclude_unset=True)
    upstreams = [{**each, "model": name} for each in said["upstreams"]]
    kept = {field: value for field, value in said.items() if field not in ("aliases", "fallbacks")}
    return ModelSettings.model_validate({**kept, "id": name, "upstreams": upstreams})
