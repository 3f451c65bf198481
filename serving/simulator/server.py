"""The simulated engine's HTTP: vLLM's routes, and two to control and watch it."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from serving.simulator.answers import BOS, answer, encode, noise, prompt_of, written
from serving.simulator.damage import FOREVER_S, failed, reset, strike
from serving.simulator.faults import Controls
from serving.simulator.forms import CHAT, COMPLETION
from serving.simulator.messages import MESSAGES
from serving.simulator.requests import Refused, Request, read
from serving.simulator.responses import RESPONSES
from serving.simulator.scheduler import Sequence
from serving.simulator.wire import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from serving.simulator.answers import Answer
    from serving.simulator.engine import Engine, Generation
    from serving.simulator.forms import Form
    from serving.simulator.metrics import Metrics

_log = logging.getLogger(__name__)
_LARGEST_BODY = 64 * 1024 * 1024


@dataclass
class Seen:
    """What `GET /seen` shows: what was asked, and how many generations run."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    running: int = 0
    most: int = 0  # generations at once
    aborted: int = 0
    tokenized: int = 0
    sent: int = 0  # events of streams


class Server:
    """The routes."""

    def __init__(
        self,
        engine: Engine,
        metrics: Metrics,
        controls: Controls,
        *,
        models: tuple[str, ...],
        context: int,
        key: str | None = None,
        seed: int = 0,
        record: bool = False,
    ) -> None:
        """Args: `models` are the names served; `record` keeps what was asked for /seen."""
        self.engine = engine
        self.metrics = metrics
        self.controls = controls
        self.seen = Seen()
        self.models = models
        self._context = context
        self._key = key
        self._rng = random.Random(seed)
        self._words = noise(seed)
        self._record = record

    def app(self) -> web.Application:
        """The application, also below each model's name, as Ray Serve routes it."""
        app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_check])
        for prefix in ("", *(f"/{model}" for model in self.models)):
            app.router.add_post(prefix + "/v1/chat/completions", self._chat)
            app.router.add_post(prefix + "/v1/completions", self._completions)
            app.router.add_post(prefix + "/v1/responses", self._responses)
            app.router.add_post(prefix + "/v1/messages", self._messages)
            app.router.add_post(prefix + "/v1/messages/count_tokens", self._count)
            app.router.add_post(prefix + "/tokenize", self._tokenize)
            app.router.add_post(prefix + "/detokenize", self._detokenize)
            app.router.add_get(prefix + "/v1/models", self._list)
            app.router.add_get(prefix + "/health", self._health)
            app.router.add_get(prefix + "/load", self._load)
            app.router.add_get(prefix + "/version", self._version)
            app.router.add_get(prefix + "/metrics", self._metrics)
        app.router.add_post("/control", self._control)
        app.router.add_get("/seen", self._show)
        app.router.add_delete("/seen", self._forget)
        app.cleanup_ctx.append(self._step)
        return app

    async def _step(self, app: web.Application) -> AsyncIterator[None]:
        steps = asyncio.create_task(self.engine.run())
        steps.add_done_callback(_end_if_broken)
        yield
        steps.cancel()
        with suppress(asyncio.CancelledError):
            await steps

    async def _control(self, request: web.Request) -> web.Response:
        changes = await request.json()
        try:
            self.controls = Controls.model_validate(self.controls.model_dump() | changes)
        except ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.controls.model_dump())

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(vars(self.seen))

    async def _forget(self, request: web.Request) -> web.Response:
        self.seen = Seen(running=self.seen.running, most=self.seen.running)
        return web.Response(status=204)

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=503 if self.controls.fault == "ill" else 200)

    async def _load(self, request: web.Request) -> web.Response:
        return web.json_response({"server_load": self.seen.running})

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    async def _metrics(self, request: web.Request) -> web.Response:
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self.metrics.render(), headers=headers)

    async def _list(self, request: web.Request) -> web.Response:
        data = [
            {"id": model, "object": "model", "owned_by": "vllm", "max_model_len": self._context}
            for model in self.models
        ]
        return web.json_response({"object": "list", "data": data})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "messages" in body:
            ids = prompt_of(body["messages"])
        else:
            ids = [BOS] if body.get("add_special_tokens", True) else []
            ids += encode(body["prompt"])
        self.seen.tokenized += body.get("prompt") != "</think>"
        counts = {"count": len(ids), "max_model_len": self._context}
        return web.json_response({**counts, "tokens": ids, "token_strs": None})

    async def _count(self, request: web.Request) -> web.Response:
        body = await request.json()
        count = len(prompt_of(MESSAGES.asks(body)["messages"]))
        self.seen.tokenized += 1
        told = {"original_input_tokens": count}
        return web.json_response({"input_tokens": count, "context_management": told})

    async def _detokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(self.controls.detokenize_s)
        return web.json_response({"prompt": written(body["tokens"])})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, CHAT)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, COMPLETION)

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, RESPONSES)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, MESSAGES)

    async def _answer(self, http: web.Request, form: Form) -> web.StreamResponse:
        body = await http.json()
        if self._record:
            self.seen.seen.append(body)
            self.seen.headers.append({name.lower(): text for name, text in http.headers.items()})
        if self._key is not None and http.headers.get("authorization") != f"Bearer {self._key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        controls = self.controls
        fault = ""
        if controls.strikes(self._rng):
            if controls.status:
                return failed(controls)
            fault = controls.fault
        try:
            asks = form.asks(body)
            request = read(
                asks,
                self.models,
                self._context,
                chat=form.chat,
                tool=controls.tool,
                drift=controls.drift,
            )
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)
        if fault == "die":
            reset(http)
            return web.Response()
        self.seen.running += 1
        self.seen.most = max(self.seen.most, self.seen.running)
        try:
            if fault == "hang":
                await asyncio.sleep(FOREVER_S)
            if request.stream:
                return await self._stream(http, form, request, fault)
            return await self._whole(http, form, request, fault)
        except (ConnectionResetError, asyncio.CancelledError):
            self.seen.aborted += 1
            raise
        finally:
            self.seen.running -= 1

    def _begin(self, request: Request) -> tuple[list[Answer], Generation]:
        """The answers, and the generation that times them."""
        asked = request.asked
        manner = self.controls.manner(penalised=request.penalised)
        answers = [
            answer(
                asked.prompt,
                manner,
                self._words,
                limit=request.limit,
                nonce=nonce,
                stops=request.stops,
                ignore_eos=request.ignore_eos,
                budget=request.budget,
            )
            for nonce in request.nonces
        ]
        size = len(asked.prompt)
        sequences = [Sequence(asked.prompt + each.ids, size, request.salt) for each in answers]
        return answers, self.engine.start(sequences, answers[0].finish)

    async def _whole(
        self, http: web.Request, form: Form, request: Request, fault: str
    ) -> web.StreamResponse:
        if fault == "garbage":
            return web.Response(text="<html>oops</html>", content_type="text/html")
        if fault == "short":
            response = web.StreamResponse(headers={"content-length": "10000"})
            await response.prepare(http)
            await response.write(b'{"id":')
            if http.transport:
                http.transport.close()
            return response
        answers, generation = self._begin(request)
        try:
            await asyncio.sleep(self.controls.first_token_s)
            while generation.left or generation.pieces:
                await generation.fetch()
        finally:
            self.engine.abort(generation)
        return web.json_response(form.whole(request.asked, answers, generation.cached))

    async def _stream(
        self, http: web.Request, form: Form, request: Request, fault: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(http)
        answers, generation = self._begin(request)
        try:
            await asyncio.sleep(self.controls.first_token_s)
            events = self._events(form, request, answers, generation)
            if fault:
                await self._faulty(http, response, form, events, fault)
                return response
            async for some in events:
                await response.write(b"".join(some))
                self.seen.sent += len(some)
        finally:
            self.engine.abort(generation)
        return response

    async def _events(
        self, form: Form, request: Request, answers: list[Answer], generation: Generation
    ) -> AsyncIterator[list[bytes]]:
        """The events of a stream, as many at a time as there are."""
        asked, per_event = request.asked, self.controls.per_event
        makers = [form.events(asked, i, each, per_event) for i, each in enumerate(answers)]
        opening = [first for first in (maker.opening() for maker in makers) if first]
        if opening:
            yield opening
        ended = 0
        while ended < len(makers):
            made: list[bytes] = []
            for piece in await generation.fetch():
                made += makers[piece.choice].of(piece.ids, last=piece.last)
                ended += piece.last
            if made:
                yield made
        yield form.closing(asked, answers, generation.cached)

    async def _faulty(
        self,
        http: web.Request,
        response: web.StreamResponse,
        form: Form,
        events: AsyncIterator[list[bytes]],
        fault: str,
    ) -> None:
        """A stream that goes wrong: event by event up to the fault."""
        sent, after = 0, 0 if fault == "first-error" else self.controls.after
        async for some in events:
            for each in some:
                if sent == after and await strike(http, response, fault):
                    return
                if fault == "no-done" and form.ends(each):
                    return
                if fault == "bytewise":
                    for byte in each:
                        await response.write(bytes((byte,)))
                else:
                    await response.write(each)
                sent += 1
                self.seen.sent += 1


@web.middleware
async def _check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 400 where vLLM's types would refuse a request that is read here without them."""
    try:
        return await handler(request)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        _log.info("not the form of a request", exc_info=error)
        refused = Refused(400, "BadRequestError", "A part of the request has the wrong form.")
        return web.json_response(refused.body, status=400)


def _end_if_broken(steps: asyncio.Task[None]) -> None:
    """An engine that steps no more must not look alive."""
    if not steps.cancelled() and (error := steps.exception()) is not None:
        _log.error("the engine broke", exc_info=error)
        signal.raise_signal(signal.SIGTERM)
