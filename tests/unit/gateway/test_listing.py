"""What an Ollama lists becomes models, and stops being some; configured names stay theirs."""

from __future__ import annotations

import asyncio
import logging

import orjson
import pytest

from gateway.errors import ModelNotFound, UpstreamFailed
from gateway.model_settings import DiscoverSettings, ModelSettings
from gateway.router import Router
from gateway.settings import PoolSettings
from gateway.upstream.breaker import State
from gateway.upstream.listing import Listing
from gateway.upstream.pool import Model, Upstream, make_model

SOURCE = DiscoverSettings.model_validate({"url": "http://ollama:11434"})
TAKEN = ModelSettings.model_validate({"id": "taken", "upstreams": [{"url": "http://vllm"}]})


class Server:
    """A client to an Ollama whose list changes; the end of its list ends the watch."""

    def __init__(self, *lists: dict[str, str] | None) -> None:
        self.lists = list(lists)
        self.learned: list[str] = []
        self.up: dict[str, bool] = {}

    async def look(self, upstream: Upstream, timeout_s: float) -> tuple[int, bytes] | None:
        listed = self.lists.pop(0)
        if listed is None:
            return None
        models = [{"name": name, "digest": digest} for name, digest in listed.items()]
        return 200, orjson.dumps({"models": models})

    async def learn(self, upstream: Upstream, timeout_s: float) -> None:
        if upstream.model == "broken:latest":
            raise UpstreamFailed("no")
        self.learned.append(upstream.model)

    async def sleep(self, seconds: float) -> None:
        if not self.lists:
            raise asyncio.CancelledError

    def breaker(self, model: str, upstream: str, state: State) -> None:
        pass

    def upstream_up(self, model: str, upstream: str, up: bool) -> None:
        self.up[model] = up


async def watch(*lists: dict[str, str] | None) -> tuple[Router, Server]:
    server = Server(*lists)

    def make(settings: ModelSettings) -> Model:
        return make_model(
            settings, lambda _: None, PoolSettings(), server, now=lambda: 0.0, draw=lambda: 0.0
        )

    router = Router([make(TAKEN)])
    listing = Listing(
        server,  # type: ignore[arg-type]
        router,
        server,
        logging.getLogger("test"),
        server.sleep,
        make,
    )
    with pytest.raises(asyncio.CancelledError):
        await listing.watch(SOURCE, 1.0)
    return router, server


async def test_models_come_and_go() -> None:
    router, server = await watch({}, {"a:latest": "1", "b:8b": "2"}, {"a:latest": "1"})
    assert [model.id for model in router.models] == ["taken", "a"]
    assert router.find("a") is router.find("a:latest")
    assert router.find("a").upstreams[0].model == "a:latest"
    assert server.learned == ["a:latest", "b:8b"]
    assert server.up == {"a": True, "b:8b": False}
    with pytest.raises(ModelNotFound):
        router.find("b:8b")


async def test_a_model_that_was_made_anew_is_learned_anew() -> None:
    _, server = await watch({"a:latest": "1"}, {"a:latest": "2"})
    assert server.learned == ["a:latest", "a:latest"]
    assert server.up == {"a": True}


async def test_while_the_server_is_away_its_models_are_down_and_known() -> None:
    router, server = await watch({"a:latest": "1"}, None)
    assert not router.find("a").upstreams[0].up
    assert server.up == {"a": False}


async def test_a_configured_name_and_a_broken_or_odd_one_are_left_alone() -> None:
    router, _ = await watch({"taken:latest": "1", "broken:latest": "2", "\u00e4:latest": "3"})
    (model,) = router.models
    assert model.upstreams[0].url == "http://vllm"


def test_all_is_known_once_everybody_was_looked_at() -> None:
    """What a worker waits for before it serves."""
    static, registered = (
        make_model(
            ModelSettings.model_validate(
                {"id": name, "discovery": name, "upstreams": [{"url": "http://vllm"}]}
            ),
            lambda _: None,
            PoolSettings(),
            Server(),
            now=lambda: 0.0,
            draw=lambda: 0.0,
        )
        for name in ("static", "registry")
    )
    router = Router([static, registered])
    for each in (*static.upstreams, *registered.upstreams):
        assert not router.looked_around([])
        each.looked_at = True
    assert not router.looked_around([]), "the registry was not read yet"
    registered.pool.replace([])
    assert router.looked_around([])
    assert not router.looked_around([SOURCE.url])
    router.discovered(SOURCE.url, [])
    assert router.looked_around([SOURCE.url])
