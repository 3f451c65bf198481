"""One attempt: ask one upstream, and deliver what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import aiohttp
import orjson

from gateway.call import Call
from gateway.errors import GatewayError, UpstreamError, UpstreamFailed
from gateway.guard import Guard
from gateway.protocol import sse
from gateway.protocol.stream import StreamTranslator
from gateway.telemetry.metrics import Metrics
from gateway.upstream.client import UpstreamClient, lost, read_all, read_piece
from gateway.upstream.dialects import Splitter
from gateway.upstream.fit import FitContext
from gateway.upstream.language import LanguageGuard
from gateway.upstream.pool import Upstream, pick
from gateway.upstream.pulse import Pulse


class Attempt:
    """Picks an upstream and hands its answer on, once."""

    def __init__(
        self,
        client: UpstreamClient,
        fit: FitContext,
        metrics: Metrics,
        language: LanguageGuard,
        *,
        draw: Callable[[], float],
        make_id: Callable[[], str],
    ) -> None:
        self._client = client
        self._fit = fit
        self._metrics = metrics
        self._language = language
        self._draw = draw
        self._make_id = make_id

    async def __call__(self, call: Call, guard: Guard, tried: Sequence[Upstream]) -> None:
        """Ask one, if possible not one of `tried`, and deliver.

        Raises GatewayError, also in the middle of a delivery: `call.delivered` tells.
        """
        model, asked = call.model, call.asked
        timeouts = model.settings.timeouts
        upstream = call.upstream = pick(model.upstreams, self._draw(), tried)
        call.attempts += 1
        outcome = "cancelled"
        try:
            dialect = upstream.dialect
            body = dialect.body(asked, upstream.model, model.settings.defaults)
            self._language.listen(call)
            await self._fit(asked, body, upstream, timeouts)
            guard.allow_silence(timeouts.first_byte_s if asked.stream else timeouts.total_s)
            # Unique even if the caller reuses its id: the engine knows requests by it.
            request_id = f"{call.id}-{self._make_id()[:8]}"
            async with self._client.open(
                upstream, dialect.path(call.api), orjson.dumps(body), request_id, timeouts
            ) as response:
                if asked.stream:
                    await self._stream(call, guard, response, upstream)
                else:
                    await self._whole(call, response, upstream)
            outcome = "ok"
        except UpstreamError as error:
            outcome = error.outcome
            raise
        except GatewayError:
            outcome = "rejected"
            raise
        finally:
            self._metrics.attempt(model.id, upstream.name, outcome)

    async def _whole(
        self, call: Call, response: aiohttp.ClientResponse, upstream: Upstream
    ) -> None:
        data = await read_all(response)
        body, call.usage = upstream.dialect.whole(
            data, call.asked, call.model.id, upstream.think_end
        )
        await self._language.judge(call)
        call.delivered = True
        await call.reply(200, body)

    async def _stream(
        self, call: Call, guard: Guard, response: aiohttp.ClientResponse, upstream: Upstream
    ) -> None:
        dialect = upstream.dialect
        translator = dialect.stream(call.asked, call.model.id, upstream.think_end)
        call.usage = translator.usage
        splitter = dialect.splitter()
        pulse = Pulse(call, self._metrics)
        idle_s = call.model.settings.timeouts.idle_s
        answering = False
        while True:
            # Headers wait for the first event: until then a fault still has its own status.
            events = await self._read_events(response, splitter)
            out: list[bytes] = []
            try:
                done = _translate(events, translator, pulse, out)
            finally:
                # What came before a fault in the same piece is still the caller's.
                if out:
                    call.delivered = True
                    await call.start_stream()
                    await call.write(b"".join(out))
            if done:
                if not translator.finished:
                    raise lost()
                await call.finish()
                await self._language.judge(call)
                # Read to the end, so that the connection can be used again.
                await read_piece(response)
                return
            if events and not answering:
                answering = True
                guard.allow_silence(idle_s)
            guard.heard()

    @staticmethod
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


def _translate(
    events: list[bytes], translator: StreamTranslator, pulse: Pulse, out: list[bytes]
) -> bool:
    """Translate events into `out`; True when the stream's own end was among them."""
    for data in events:
        piece = translator.event(data)
        if piece.end:
            # The end is the caller's only if the answer is complete.
            if translator.finished:
                out.append(piece.data)
            return True
        if piece.tokens:
            pulse.beat(piece.tokens, content=piece.content, prompt=translator.usage.prompt)
        if piece.data:
            out.append(piece.data)
    return False
