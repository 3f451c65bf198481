"""r1's gateway in front of a simulated fleet: all of its policies, none of its HTTP and Redis.

Cache, retries with their budget and resumed streams, the door with window and fair queue, the pool
with affinity, breaker and ejection, discovery and probe are the ones that serve, put together as
`gateway.worker` does it. Only the attempt's exchange with a model server is simulated. One worker
stands for all: what it costs workers to trade places over Redis is measured with real ones.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import MutableMapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from gateway.auth.keys import KeyRecord
from gateway.batching.board import OwnBoard
from gateway.batching.door import Door
from gateway.batching_settings import Batching
from gateway.cache.canonical import Addresses
from gateway.cache.means import Means
from gateway.cache.stage import ResponseCache
from gateway.call import Call
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.protocol.continuation import Progress
from gateway.protocol.request import Asked
from gateway.router import Router
from gateway.settings import CacheSettings, PoolSettings, RetrySettings
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files
from gateway.telemetry.spans import NoSpans
from gateway.upstream.attempt import Attempt
from gateway.upstream.budget import RetryBudget
from gateway.upstream.discovery import Discovery
from gateway.upstream.fit import FitContext
from gateway.upstream.hedge import Hedge
from gateway.upstream.judge import Judge
from gateway.upstream.pool import make_model
from gateway.upstream.probe import Probe
from gateway.upstream.registry import Replica
from gateway.upstream.retry import Retry
from r1.fleet.scale.asking import Cut
from r1.fleet.scale.machine import MODEL
from r1.fleet.scale.shelf import Shelf, no_store

if TYPE_CHECKING:
    from gateway.upstream.client import UpstreamClient
    from gateway.upstream.delivery import Delivery
    from gateway.upstream.pool import Model, Upstream
    from gateway.upstream.visit import Visit
    from r1.fleet.scale.asking import Engines
    from r1.fleet.scale.fleet import Member
    from r1.fleet.scale.load import People, Question
    from r1.fleet.scale.people import Reader

SERVE = "http://serve:8000"
"""Ray Serve's own address, which knows all replicas: the way when no other is left."""
_LOOK_S = 5.0
_TOKEN = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
_DONE = b"data: [DONE]\n\n"
_BYTES_PER_TOKEN = 4


class _Attempt(Attempt):
    """The gateway's attempt; the exchange with the model server is a simulated engine's."""

    def __init__(self, engines: Engines, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self._engines = engines
        self._turns = itertools.count()

    async def _stream(self, call: Call, delivery: Delivery, visit: Visit) -> None:
        progress = delivery.progress
        if progress is None:
            progress = delivery.progress = Progress(chat=True)
        member = self._member(visit.upstream.url)
        if visit.upstream.url == member.url:
            member.replica.gaps = visit.witness
        asked = call.asked.body["metadata"]
        done = len(progress.ids)
        visit.asked_bytes = _BYTES_PER_TOKEN * (asked["prompt"] + done)

        async def first() -> None:
            visit.answering()
            progress.passed((), "x", None)
            if not call.delivered:
                call.delivered = True
                await call.start_stream()
                await call.write(_TOKEN)

        try:
            await self._engines.ask(
                member, asked["prompt"] + done, asked["answer"] - done, asked["conversation"], first
            )
        except Cut as cut:
            progress.ids.extend([0] * min(cut.tokens, asked["answer"] - done - 1))
            delivery.tokens += cut.tokens
            raise
        await call.end(_DONE)

    def _member(self, url: str) -> Member:
        fleet = self._engines.fleet
        if url != SERVE:
            return fleet.members[url]
        there = fleet.there or list(fleet.members.values())
        return there[next(self._turns) % len(there)]


class _Doctor:
    """What the probe asks a model server."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def healthy(self, upstream: Upstream, timeout_s: float) -> bool:
        return self._engines.fleet.members[upstream.url].answers

    async def learn(self, upstream: Upstream, timeout_s: float) -> None:
        """All is known."""


class Own:
    """The gateway, assembled."""

    def __init__(
        self,
        engines: Engines,
        people: People,
        seed: int,
        *,
        workers: int = 1,
        batching: Batching | None = None,
        retry: RetrySettings | None = None,
    ) -> None:
        """Args: `workers` that this one stands for; their queues hold so many times as much."""
        loop = asyncio.get_running_loop()
        chance = random.Random(f"gateway {seed}")
        logger = logging.getLogger("r1.fleet")
        logger.propagate = False
        logger.setLevel(logging.CRITICAL)
        metrics = Metrics(Meter(Sheet(make_files())))
        self._engines = engines
        self._loop = loop
        self._numbers = itertools.count()
        settings = ModelSettings(
            id=MODEL,
            upstreams=(UpstreamSettings(url=SERVE),),
            discovery="registry",
            context_length=131072,
            think_end_token_id=1,
        )
        self._model: Model = make_model(
            settings,
            lambda upstream: None,
            PoolSettings(),
            metrics,
            now=loop.time,
            draw=chance.random,
        )
        if batching is None:
            # Who can't begin in time is told so at once.
            batching = Batching(longest_wait_s=people.ttft_s, queue=1000 * workers)
        retry = retry or RetrySettings()
        budget = RetryBudget(no_store(), retry, metrics)
        self._door = Door(OwnBoard(1), batching, metrics, "worker", workers=1, sleep=asyncio.sleep)
        client = cast("UpstreamClient", _Doctor(engines))
        attempt = _Attempt(
            engines,
            client,
            FitContext(client),
            metrics,
            Judge(budget, metrics),
            Hedge(budget),
            self._door,
            make_id=self._id,
            spans=NoSpans(),
            bits=chance.getrandbits,
        )
        self._retry = Retry(
            attempt, budget, retry, metrics, draw=chance.random, sleep=asyncio.sleep
        )
        self._cache = ResponseCache(
            Addresses(b"a simulated fleet's"),
            Means(Shelf(loop.time), CacheSettings(), loop.time, chance.random, self._id),
            Router([self._model]),
            metrics,
            logger,
            lambda call: None,
        )
        probe = Probe(client, metrics, logger, asyncio.sleep, loop.time)

        async def watch(model: Model, upstream: Upstream) -> None:
            await probe.watch(model, upstream, _LOOK_S)

        discovery = Discovery(
            self._model,
            None,
            self._registered,
            watch,
            metrics,
            logger,
            now=loop.time,
            sleep=asyncio.sleep,
        )
        self._running = loop.create_task(discovery.run())

    @property
    def waiting(self) -> int:
        """Requests that no replica has yet."""
        return self._door.waiting(MODEL)

    async def answer(self, question: Question, reader: Reader) -> None:
        """Give a whole answer. Raises GatewayError."""

        async def send(message: MutableMapping[str, Any]) -> None:
            if message.get("body"):
                reader.first()

        call = Call(
            {"headers": []}, _never, send, api="chat", now=self._loop.time, make_id=self._id
        )
        call.key, call.model, call.asked = _key(question.tenant), self._model, _asked(question)
        await self._cache(call, self._retry)

    async def close(self) -> None:
        """End what runs behind."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._cache.close()
        await self._door.close()

    async def _registered(self, model: str) -> list[Replica]:
        capacity = self._engines.fleet.machine.sequences
        return [
            Replica(each.url, each.url, capacity, each.draining, ())
            for each in self._engines.fleet.registered()
        ]

    def _id(self) -> str:
        return f"{next(self._numbers):032x}"


async def _never() -> MutableMapping[str, Any]:
    """A caller who stays connected and says no more."""
    await asyncio.get_running_loop().create_future()
    raise RuntimeError("nobody sets this future")


@lru_cache(maxsize=1024)
def _key(tenant: str) -> KeyRecord:
    return KeyRecord(id=tenant, name=tenant, tenant=tenant, created=0, hint="")


def _asked(question: Question) -> Asked:
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": question.text}],
        "temperature": 0.0 if question.greedy else 0.6,
        # A simulated engine is told what a real one finds out.
        "metadata": {
            "prompt": question.prompt,
            "answer": question.answer,
            "conversation": question.conversation,
        },
    }
    return Asked(
        api="chat",
        raw=b"",
        body=body,
        model=MODEL,
        stream=True,
        usage=False,
        reasoning=True,
        token_ids=False,
        max_tokens=None,
    )
