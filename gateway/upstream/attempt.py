"""One attempt: ask one upstream, and deliver what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import orjson

from gateway.batching.door import Door
from gateway.call import Call
from gateway.errors import GatewayError, UpstreamError, UpstreamFailed
from gateway.http.wire import Response
from gateway.model_settings import Timeouts
from gateway.patience import Patience
from gateway.protocol import sse
from gateway.protocol.continuation import END, Progress, rest_of_request
from gateway.protocol.repetition import REPETITION
from gateway.protocol.usage import Usage
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.spans import Spans
from gateway.telemetry.trace import Bits, new_span
from gateway.upstream.client import UpstreamClient, read_piece
from gateway.upstream.delivery import Delivery
from gateway.upstream.dialects import Splitter
from gateway.upstream.faults import UNREADABLE, lost, unreadable
from gateway.upstream.fit import FitContext
from gateway.upstream.hedge import Hedge
from gateway.upstream.judge import Judge
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
        judge: Judge,
        hedge: Hedge,
        door: Door,
        *,
        make_id: Callable[[], str],
        spans: Spans,
        bits: Bits,
    ) -> None:
        """Args: `spans` hears of attempts that are over, `bits` makes their ids in traces."""
        self._client = client
        self._fit = fit
        self._metrics = metrics
        self._judge = judge
        self._hedge = hedge
        self._door = door
        self._make_id = make_id
        self._spans = spans
        self._bits = bits

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
        """Wait for a place at an upstream, ask it, and have its pool know how that ended."""
        model = call.model
        visit = await self._door.enter(call, tried, continuing=continuing)
        upstream = call.upstream = visit.upstream
        call.attempts += 1
        visit.span, visit.number = new_span(self._bits), call.attempts
        began_s = call.elapsed()
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
            self._spans.attempt(call, visit, began_s, outcome)
        return answer

    async def _whole(self, call: Call, visit: Visit) -> Whole:
        upstream = visit.upstream
        async with self._patience(call, upstream, call.model.settings.timeouts.total_s):
            question = await self._first(call, upstream)
            async with self._client.open(
                upstream, question.path, orjson.dumps(question.body), self._marks(call, visit), call
            ) as response:
                data = await self._client.whole(response)
        self._judge.listen(call)
        try:
            body, usage = upstream.dialect.whole(
                data, call.asked, call.model.id, upstream.think_end
            )
        except UNREADABLE as error:
            raise unreadable() from error
        visit.answered(usage)
        await self._judge.finished(call)
        return Whole(body, usage, upstream)

    async def _stream(self, call: Call, delivery: Delivery, visit: Visit) -> None:
        upstream = visit.upstream
        first_byte_s = call.model.settings.timeouts.first_byte_s
        async with self._patience(call, upstream, first_byte_s) as patience:
            if delivery.progress is not None and delivery.begun:
                question = await self._rest(call, visit, delivery, delivery.progress)
            else:
                question = await self._first(call, upstream)
                self._judge.listen(call)
                delivery.begin(visit, question.body)
            asked = orjson.dumps(question.body)
            visit.asked_bytes = len(asked)
            async with self._client.open(
                upstream, question.path, asked, self._marks(call, visit), call
            ) as response:
                try:
                    await self._deliver(call, response, visit, delivery, patience)
                    visit.usage = call.usage
                except UpstreamError:
                    if not await delivery.saved():
                        raise

    async def _deliver(
        self,
        call: Call,
        response: Response,
        visit: Visit,
        delivery: Delivery,
        patience: Patience,
    ) -> None:
        splitter = visit.upstream.dialect.splitter()
        answering = False

        def pass_on(data: bytes) -> int:
            size = 0 if splitter.pending else delivery.pass_on(data)
            if size:
                patience.heard()
            return size

        while not await delivery.take(events := await _read_events(response, splitter)):
            if events and not answering:
                answering = True
                visit.answering()
                patience.limit(call.model.settings.timeouts.idle_s)
                response.sink = pass_on
            patience.heard()
        if delivery.loops:
            await self._judge.loops(call, "stopped")
            # The connection is closed before its end, which ends the engine's work.
            await delivery.stop(REPETITION)
            return
        await self._judge.finished(call)
        # Read to the end, so that the connection can be used again.
        await read_piece(response)

    async def _first(self, call: Call, upstream: Upstream) -> Question:
        """The question for a whole answer."""
        settings = call.model.settings
        if upstream.spare and not upstream.looked_at:
            # Nobody looks at it, because that might wake its model. This call does so anyway.
            with suppress(UpstreamError):
                await self._client.learn(upstream, settings.timeouts.first_byte_s)
                upstream.looked_at = True
        body = upstream.dialect.body(call.asked, upstream.model, settings.defaults)
        await self._fit(call.asked, body, upstream, settings.timeouts)
        return Question(upstream.dialect.path(call.api), body)

    async def _rest(
        self, call: Call, visit: Visit, delivery: Delivery, progress: Progress
    ) -> Question:
        """The question for the rest of an answer. Raises UpstreamError where there is none."""
        upstream = visit.upstream
        given = upstream.dialect.body(call.asked, upstream.model, call.model.settings.defaults)
        timeouts = call.model.settings.timeouts
        silent = await self._silent(upstream, given, timeouts)
        text = await self._text(upstream, progress, silent, timeouts)
        for _ in range(_PARTS):
            if not text.endswith(_HALF_CHARACTER):
                break
            # The rest of a character can't be told from its parts: they are asked for again.
            progress.ids.pop()
            text = await self._text(upstream, progress, silent, timeouts)
        held = progress.rest(text)
        body = rest_of_request(progress, given, upstream.context_length)
        if held is None or body is None:
            raise lost()
        delivery.go_on(visit, progress, held)
        return Question(upstream.dialect.path("completions"), body)

    async def _silent(
        self, upstream: Upstream, given: dict[str, Any], timeouts: Timeouts
    ) -> int | None:
        """The token that may stand in an answer and has no text in its stream, if any may."""
        if not given.get("ignore_eos"):
            return None
        end = await self._client.token(upstream, END, timeouts)
        if end is None:
            # Another tokenizer's end of an answer isn't known.
            raise lost()
        return end

    async def _text(
        self, upstream: Upstream, progress: Progress, silent: int | None, timeouts: Timeouts
    ) -> str:
        ids = [each for each in progress.ids if each != silent]
        return await self._client.detokenize(upstream, ids, timeouts)

    @staticmethod
    def _patience(call: Call, upstream: Upstream, seconds: float) -> Patience:
        """With a silence of so many seconds, or a shorter one of an upstream that is lost."""
        pool = call.model.pool
        return Patience(seconds, gone=partial(pool.lost, upstream), gone_s=pool.settings.frozen_s)

    def _marks(self, call: Call, visit: Visit) -> dict[str, str]:
        # Unique even if the caller reuses its id: the engine knows requests by it.
        identity = f"{call.id}-{self._make_id()[:8]}"
        return {"x-request-id": identity, **call.trace.headers(visit.span)}


async def _read_events(response: Response, splitter: Splitter) -> list[bytes]:
    piece = await read_piece(response)
    if not piece:
        raise lost()
    try:
        return splitter.feed(piece)
    except sse.EventTooLarge as error:
        raise UpstreamFailed(
            "The model server sent an event without end.", code="upstream_invalid"
        ) from error
    except sse.NotAnEvent as error:
        raise unreadable() from error
