"""Models that come and go: what an Ollama lists becomes models of the gateway."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from pydantic import ValidationError

from gateway.errors import UpstreamError
from gateway.model_settings import DiscoverSettings, ModelSettings, UpstreamSettings
from gateway.router import Router
from gateway.upstream.client import UpstreamClient
from gateway.upstream.dialects.ollama import LATEST, models
from gateway.upstream.pool import Model
from gateway.upstream.probe import HealthWatcher

_LOOK_TIMEOUT_S = 5.0
# Each becomes a label of the metrics: a server with more than these is not what this is for.
_MOST_MODELS = 128


class Listing:
    """Keeps the router's models true to what the servers list."""

    def __init__(
        self,
        client: UpstreamClient,
        router: Router,
        watcher: HealthWatcher,
        logger: logging.Logger,
        sleep: Callable[[float], Awaitable[None]],
        make: Callable[[ModelSettings], Model],
    ) -> None:
        """Args: `make` makes a model from its settings."""
        self._client = client
        self._router = router
        self._watcher = watcher
        self._logger = logger
        self._sleep = sleep
        self._make_model = make

    async def watch(self, source: DiscoverSettings, interval_s: float) -> None:
        """Look at what `source` lists every `interval_s`, until cancelled.

        While it can't be reached its models stay known, as down: callers are told that a server
        is away, and not that there is no such model.
        """
        door = self._make_model(describe("r1", source)).upstreams[0]
        known: dict[tuple[str, str], Model] = {}
        while True:
            found = await self._client.look(door, _LOOK_TIMEOUT_S)
            if found is None or found[0] != 200:
                for model in known.values():
                    self._set_up(model, False)
            else:
                listed = sorted(models(found[1]).items())[:_MOST_MODELS]
                for key in [each for each in known if each not in listed]:
                    self._tell("model_gone", known.pop(key))
                for key in listed:
                    if key not in known and (made := await self._make(key[0], source)) is not None:
                        known[key] = made
                        self._tell("model_discovered", made)
                for model in known.values():
                    self._set_up(model, True)
                self._router.discovered(source.url, tuple(known.values()))
            await self._sleep(interval_s)

    async def _make(self, name: str, source: DiscoverSettings) -> Model | None:
        """The model, if its name can be one here and the server tells of it."""
        try:
            model = self._make_model(describe(name, source))
            await self._client.learn(model.upstreams[0], _LOOK_TIMEOUT_S)
        except (ValidationError, UpstreamError):
            return None
        return model

    def _tell(self, event: str, model: Model) -> None:
        self._logger.info(event, extra={"fields": {"model": model.id}})
        if event == "model_gone":
            self._set_up(model, False)

    def _set_up(self, model: Model, up: bool) -> None:
        (upstream,) = model.upstreams
        upstream.up = up
        upstream.looked_at = True
        self._watcher.upstream_up(model.id, upstream.name, up)


def describe(name: str, source: DiscoverSettings) -> ModelSettings:
    """The settings of a discovered model; `:latest` may be left out, as in Ollama.

    Raises ValidationError if the name can't be a model's id here.
    """
    short = name.removesuffix(LATEST)
    return ModelSettings(
        id=short,
        aliases=() if short == name else (name,),
        defaults=source.defaults,
        timeouts=source.timeouts,
        upstreams=(
            UpstreamSettings(
                url=source.url, dialect="ollama", model=name, key_file=source.key_file
            ),
        ),
    )
