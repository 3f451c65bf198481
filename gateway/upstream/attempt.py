"""One attempt: ask one upstream, and deliver what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import aiohttp
import orjson

from gateway.call import Call
from gateway.errors import GatewayError, UpstreamError, UpstreamFailed
from gateway.patience import Patience
from gateway.protocol import sse
from gateway.protocol.continuation import Progress, rest_of_request
from gateway.protocol.usage import Usage
from gateway.telemetry.metrics import Metrics
from gateway.upstream.affinity import conversation
from gateway.upstream.client import UpstreamClient, read_all, read_piece
from gateway.upstream.delivery import Delivery
from gateway.upstream.dialects import Splitter
from gateway.upstream.faults import lost
from gateway.upstream.fit import FitContext
from gateway.upstream.hedge import Hedge
from gateway.upstream.language import LanguageGuard
from gateway.upstream.pool import Upstream
from gateway.upstream.visit import Visit

# The longest character has four bytes, so at most three tokens can be a part of one.
_HALF_CHARACTER = "\ufffd"
_PARTS = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent to an upstream."""

    path: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece, as the caller gets it."""

    body: bytes
    usage: Usage
    upstream: Upstream


class Attempt:
    """Picks an upstream and hands its answer on, once."""

    def __init__(
        self,
        client: UpstreamClient,
        fit: FitContext,
        metrics: Metrics,
        language: LanguageGuard,
        hedge: Hedge,
        *,
        make_id: Callable[[], str],
    ) -> None:
        self._client = client
        self._fit = fit
        self._metrics = metrics
        self._language = language
        self._hedge = hedge
        self._make_id = make_id

    async def __call__(self, call: Call, delivery: Delivery, tried: Sequence[Upstream]) -> None:
        """Ask one, if possible not one of `tried`, and deliver.

        Raises GatewayError, also in the middle of a delivery: `call.delivered` tells.
        """
        if call.asked.stream:
            stream = partial(self._stream, call, delivery)
            await self._visit(call, tried, stream, continuing=delivery.begun)
            return
        answer = await self._hedge(
            call, tried, lambda tried: self._visit(call, tried, partial(self._whole, call))
        )
        call.upstream, call.usage = answer.upstream, answer.usage
        call.delivered = True
        await call.reply(200, answer.body)

    async def _visit(
        self,
        call: Call,
        tried: Sequence[Upstream],
        ask: Callable[[Visit], Awaitable[T]],
        *,
        continuing: bool = False,
    ) -> T:
        """Choose an upstream, ask it, and have its pool know how that ended."""
        model = call.model
        tenant = "" if call.key is None else call.key.tenant
        visit = model.pool.visit(
            conversation(call.asked.body, tenant), tried, continuing=continuing
        )
        upstream = call.upstream = visit.upstream
        call.attempts += 1
        outcome = "cancelled"
        try:
            answer = await ask(visit)
            outcome = "ok"
        except UpstreamError as error:
            outcome = error.outcome
            visit.failed(error)
            raise
        except GatewayError:
            outcome = "rejected"
            raise
        finally:
            visit.end(worked=outcome == "ok")
            self._metrics.attempt(model.id, upstream.name, outcome)
        return answer

    async def _whole(self, call: Call, visit: Visit) -> Whole:
        upstream = visit.upstream
        question = await self._first(call, upstream)
        async with self._client.open(
            upstream, question.path, orjson.dumps(question.body), self._id(call), call
        ) as response:
            data = await read_all(response)
        body, usage = upstream.dialect.whole(data, call.asked, call.model.id, upstream.think_end)
        await self._language.judge(call)
        return Whole(body, usage, upstream)

    async def _stream(self, call: Call, delivery: Delivery, visit: Visit) -> None:
        upstream = visit.upstream
        async with Patience(call.model.settings.timeouts.first_byte_s) as patience:
            if delivery.progress is not None and delivery.begun:
                question = await self._rest(call, upstream, delivery, delivery.progress)
            else:
                question = await self._first(call, upstream)
                delivery.begin(upstream, question.body)
            async with self._client.open(
                upstream, question.path, orjson.dumps(question.body), self._id(call), call
            ) as response:
                try:
                    await self._deliver(call, response, visit, delivery, patience)
                except UpstreamError:
                    if not await delivery.saved():
                        raise

    async def _deliver(
        self,
        call: Call,
        response: aiohttp.ClientResponse,
        visit: Visit,
        delivery: Delivery,
        patience: Patience,
    ) -> None:
        splitter = visit.upstream.dialect.splitter()
        answering = False
        while not await delivery.take(events := await _read_events(response, splitter)):
            if events and not answering:
                answering = True
                visit.answering()
                patience.limit(call.model.settings.timeouts.idle_s)
            patience.heard()
        await self._language.judge(call)
        # Read to the end, so that the connection can be used again.
        await read_piece(response)

    async def _first(self, call: Call, upstream: Upstream) -> Question:
        """The question for a whole answer."""
        settings = call.model.settings
        body = upstream.dialect.body(call.asked, upstream.model, settings.defaults)
        self._language.listen(call)
        await self._fit(call.asked, body, upstream, settings.timeouts)
        return Question(upstream.dialect.path(call.api), body)

    async def _rest(
        self, call: Call, upstream: Upstream, delivery: Delivery, progress: Progress
    ) -> Question:
        """The question for the rest of an answer. Raises UpstreamError where there is none."""
        settings = call.model.settings
        text = await self._text(upstream, progress, settings.timeouts.connect_s)
        for _ in range(_PARTS):
            if not text.endswith(_HALF_CHARACTER):
                break
            # The rest of a character can't be told from its parts: they are asked for again.
            progress.ids.pop()
            text = await self._text(upstream, progress, settings.timeouts.connect_s)
        held = progress.rest(text)
        given = upstream.dialect.body(call.asked, upstream.model, settings.defaults)
        body = rest_of_request(progress, given, upstream.context_length)
        if held is None or body is None:
            raise lost()
        delivery.go_on(progress, held)
        return Question(upstream.dialect.path("completions"), body)

    async def _text(self, upstream: Upstream, progress: Progress, timeout_s: float) -> str:
        return await self._client.detokenize(upstream, progress.ids.tolist(), timeout_s)

    def _id(self, call: Call) -> str:
        """Unique even if the caller reuses its id: the engine knows requests by it."""
        return f"{call.id}-{self._make_id()[:8]}"


async def _read_events(response: aiohttp.ClientResponse, splitter: Splitter) -> list[bytes]:
    piece = await read_piece(response)
    if not piece:
        raise lost()
    try:
        return splitter.feed(piece)
    except sse.EventTooLarge as error:
        raise UpstreamFailed(
            "The model server sent an event without end.", code="upstream_invalid"
        ) from error
