"""One request and its answer, as the pipeline sees them: raw ASGI with the fine points inside."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from typing import Any, cast

from gateway.auth.authenticate import credentials
from gateway.auth.keys import KeyRecord
from gateway.errors import (
    BodyTooLarge,
    BodyTooSlow,
    ClientDisconnected,
    GatewayError,
    InvalidRequest,
)
from gateway.http.exchange import EXCHANGE, Exchange
from gateway.protocol import sse
from gateway.protocol.faults import error_body, error_event
from gateway.protocol.request import Api, Asked
from gateway.protocol.usage import Usage
from gateway.telemetry.trace import UNTRACED, Trace
from gateway.upstream.pool import Model, Upstream

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Headers with one value: of two, each reader on the way may take another one.
_ONCE = (
    b"authorization",
    b"content-encoding",
    b"content-length",
    b"host",
    b"transfer-encoding",
    b"x-api-key",
)
# One piece given to the server at most: what a slow reader's connection holds is counted in
# pieces, so their size has to be bounded for its memory to be.
_PIECE_BYTES = 64 * 1024


class Call:
    """A request on its way. What the stages find out about it is kept here, for the log."""

    def __init__(
        self,
        scope: Message,
        receive: Receive,
        send: Send,
        *,
        api: Api,
        now: Callable[[], float],
        make_id: Callable[[], str],
        trace: Trace = UNTRACED,
    ) -> None:
        self._receive = receive
        self._exchange: Exchange | None = scope.get("extensions", {}).get(EXCHANGE)
        self._send = send
        self._now = now
        self.api: Api = api
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._repeated: list[bytes] = []
        if len(self.headers) < len(scope["headers"]):
            names = [name for name, _ in scope["headers"]]
            self._repeated = [name for name in _ONCE if names.count(name) > 1]
        self.id = request_id(self.headers.get(b"x-request-id", b""), make_id)
        self.began = now()
        self.trace = trace
        self.key: KeyRecord | None = None
        self._asked: Asked | None = None
        self._model: Model | None = None
        self.upstream: Upstream | None = None
        self.usage = Usage()
        self.status = 0
        self.attempts = 0
        self.asked_again = False  # an answer was not good enough, once
        self.stopped: str | None = None  # why this answer is not as its model would end it
        self.resumes = 0
        self.late_at = math.inf  # when the answer must be complete, by `now`
        self.cache_result = "bypass"
        self.notes: list[Header] = []  # headers that stages add to the answer
        self.complete = False  # the caller has all of the answer, or will when it is read
        self.delivered = False  # something of the answer was sent: no other attempt may follow
        self.first_token_s: float | None = None
        self.first_token_counted = False
        self.ending: str | None = None
        self.streaming = False
        self._last_sent = self.began
        self._turn = asyncio.Lock()

    @property
    def asked(self) -> Asked:
        """What the caller asks for; there once the body was read."""
        if self._asked is None:
            raise RuntimeError("the body was not read yet")
        return self._asked

    @asked.setter
    def asked(self, asked: Asked) -> None:
        self._asked = asked

    @property
    def body(self) -> bytes | None:
        """What the caller sent; None before it was read and found to be a request."""
        return None if self._asked is None else self._asked.raw

    @property
    def model(self) -> Model:
        """The model that answers; there once its name was looked up."""
        if self._model is None:
            raise RuntimeError("the model was not looked up yet")
        return self._model

    @model.setter
    def model(self, model: Model) -> None:
        self._model = model

    def branch(self, receive: Receive, send: Send) -> Call:
        """Another call that asks for the same, but whose answer goes to `send`."""
        other = Call(
            {"headers": self.headers.items()},
            receive,
            send,
            api=self.api,
            now=self._now,
            make_id=lambda: "",
            trace=self.trace,
        )
        other.id, other.began, other.key = self.id, self.began, self.key
        other._asked, other._model = self._asked, self._model
        other.first_token_s = self.first_token_s
        other.first_token_counted = self.first_token_counted
        return other

    def adopt(self, other: Call) -> None:
        """Take over what became known in a call made by `branch`, whose answer is given here."""
        self._model, self.upstream = other._model, other.upstream
        self.attempts, self.resumes, self.usage = other.attempts, other.resumes, other.usage
        self.cache_result, self.first_token_s = other.cache_result, other.first_token_s
        self.first_token_counted = other.first_token_counted
        self.stopped = other.stopped
        self.notes += [note for note in other.notes if note not in self.notes]

    @property
    def found(self) -> bool:
        """True once the model's name was looked up."""
        return self._model is not None

    @property
    def model_label(self) -> str:
        """The model's id for metrics and logs, `unknown` before it is known."""
        return "unknown" if self._model is None else self._model.id

    def names(self) -> dict[str, str]:
        """What a line of the log says to be found by."""
        return {"request_id": self.id, "trace_id": self.trace.id}

    @property
    def started(self) -> bool:
        """True when the status and headers were sent."""
        return self.status != 0

    def elapsed(self) -> float:
        """Seconds since the request came."""
        return self._now() - self.began

    def time_left(self) -> float:
        """Seconds until the answer must be complete; infinite without the caller's own limit."""
        return self.late_at - self._now()

    def silent_for(self) -> float:
        """Seconds since something was sent, or since the request came."""
        return self._now() - self._last_sent

    def header(self, name: bytes) -> str | None:
        """A request header; None if it isn't there."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def credentials(self) -> str | None:
        """The key as the caller sent it."""
        return credentials(lambda name: self.header(name.encode()))

    def check_headers(self) -> None:
        """Raises InvalidRequest for headers that others on the way may read in another way."""
        for name in self._repeated:
            raise _wrong_header(name.decode(), "may be sent once only")
        if self.headers.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            raise _wrong_header("transfer-encoding", "may only be 'chunked'")

    async def read_body(self, limit: int, timeout_s: float) -> bytes:
        """The whole body. Raises InvalidRequest, as one of its kinds too, or ClientDisconnected."""
        if self.headers.get(b"content-encoding", b"identity") != b"identity":
            raise InvalidRequest(
                "Send the body without 'content-encoding'.", param="content-encoding"
            )
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        if self._exchange is not None and self._exchange.complete:
            # It is there already: nearly all are.
            return await self._whole_body(limit)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._whole_body(limit)
        except TimeoutError as error:
            raise BodyTooSlow(f"The body did not come within {timeout_s:g} s.") from error

    async def _whole_body(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def start(self, status: int, content_type: bytes, extra: Iterable[Header] = ()) -> None:
        """Send the status and headers."""
        self.status = status
        headers: list[Header] = [
            (b"content-type", content_type),
            (b"server", b"r1"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-request-id", self.id.encode()),
            (b"openai-processing-ms", str(int(self.elapsed() * 1000)).encode()),
        ]
        if self._model is not None:
            headers.append((b"x-r1-model", self._model.id.encode()))
            headers.append((b"x-r1-cache", self.cache_result.encode()))
            headers.append((b"x-r1-attempts", str(self.attempts).encode()))
        headers.extend(self.notes)
        headers.extend(extra)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the reader is slow."""
        async with self._turn:
            for at in range(0, len(data), _PIECE_BYTES):
                await self._send(
                    {
                        "type": "http.response.body",
                        "body": data[at : at + _PIECE_BYTES],
                        "more_body": True,
                    }
                )
            self._last_sent = self._now()

    @property
    def flows(self) -> bool:
        """Whether `flow` may be used: nobody is sending, and the reader is quick."""
        return self._exchange is not None and self._exchange.flows and not self._turn.locked()

    def flow(self, data: bytes) -> None:
        """`write`, without a wait: for the tokens in the middle of a stream."""
        if self._exchange is not None:
            self._exchange.flow(data)
            self._last_sent = self._now()

    async def keep_alive(self) -> None:
        """Send something that means nothing, so that no one on the way thinks we are gone.

        On a stream that is a comment. Else it is a blank line, which JSON allows in front; from
        then on the status 200 is out and an error can only be told in the body (see `fail`).
        """
        if self._turn.locked():
            return
        stream = self.asked.stream
        if stream:
            await self.start_stream()
        elif not self.started:
            await self.start(200, b"application/json")
        await self.write(sse.KEEP_ALIVE if stream else b"\n")

    async def finish(self) -> None:
        """End the body."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def start_stream(self) -> None:
        """Send the headers of a stream, once."""
        if not self.started:
            self.streaming = True
            await self.start(
                200,
                b"text/event-stream; charset=utf-8",
                [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")],
            )

    async def reply(self, status: int, body: bytes, extra: Iterable[Header] = ()) -> None:
        """A whole answer in JSON; after a blank line was sent, only its body."""
        if not self.started:
            length = (b"content-length", str(len(body)).encode())
            await self.start(status, b"application/json", [length, *extra])
        await self.end(body)

    async def end(self, last: bytes) -> None:
        """Send the last of the body and end it. From here on the answer is complete."""
        self.complete = True
        if last:
            await self.write(last)
        await self.finish()

    async def fail(self, error: GatewayError) -> None:
        """Tell the caller of an error in the way that is still open.

        Before the headers: an answer with the error's status. On a stream: an error event, and
        no `[DONE]`. After blank lines, when the status 200 is out already: the error as the
        body, whose HTTP framing is then left without its end, so that a client library that
        believes the 200 can't take it for an answer.
        """
        if self.streaming:
            sequence = 0 if self._asked is None else self._asked.sequence
            await self.write(error_event(error, self.api, self.id, sequence))
            await self.finish()
            return
        body = error_body(error, self.api, self.id)
        if not self.started:
            await self.reply(error.status, body, error.headers())
        else:
            await self.write(body)

    def when_left(self, then: Callable[[], None]) -> Callable[[], None]:
        """Have `then` called when the caller is gone. What is returned ends that."""
        if self._exchange is not None:
            self._exchange.when_left(then)
            return partial(self._exchange.when_left, None)
        watch = asyncio.create_task(self._disconnected(then))
        return cast("Callable[[], None]", watch.cancel)

    async def _disconnected(self, then: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        then()


def request_id(given: bytes, make_id: Callable[[], str]) -> str:
    """The caller's id for its request if it is harmless in headers and logs, else a new one."""
    return given.decode() if _REQUEST_ID.fullmatch(given) else "req_" + make_id()


def _wrong_header(name: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"The header '{name}' {rule}.", param=name)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is longer than {limit} bytes.")
