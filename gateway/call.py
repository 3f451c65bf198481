"""One request and its answer, as the pipeline sees them: raw ASGI with the fine points inside."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from gateway.auth.keys import KeyRecord
from gateway.errors import BodyTooLarge, ClientDisconnected, GatewayError, InvalidRequest
from gateway.protocol import sse
from gateway.protocol.faults import error_body, error_event
from gateway.protocol.request import Api, Asked
from gateway.protocol.usage import Usage
from gateway.upstream.pool import Model, Upstream

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
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
    ) -> None:
        self._receive = receive
        self._send = send
        self._now = now
        self.api: Api = api
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.id = request_id(self.headers.get(b"x-request-id", b""), make_id)
        self.began = now()
        self.key: KeyRecord | None = None
        self._asked: Asked | None = None
        self._model: Model | None = None
        self.upstream: Upstream | None = None
        self.usage = Usage()
        self.status = 0
        self.attempts = 0
        self.asked_again = False  # a finished answer was not good enough, once
        self.resumes = 0
        self.late_at = math.inf  # when the answer must be complete, by `now`
        self.cache_result = "bypass"
        self.notes: list[Header] = []  # headers that stages add to the answer
        self.complete = False  # the caller has all of the answer, or will when it is read
        self.delivered = False  # something of the answer was sent: no other attempt may follow
        self.first_token_s: float | None = None
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
        )
        other.id, other.began, other.key = self.id, self.began, self.key
        other._asked, other._model = self._asked, self._model
        return other

    def adopt(self, other: Call) -> None:
        """Take over what became known in a call made by `branch`, whose answer is given here."""
        self._model, self.upstream = other._model, other.upstream
        self.attempts, self.resumes, self.usage = other.attempts, other.resumes, other.usage
        self.cache_result, self.first_token_s = other.cache_result, other.first_token_s
        self.notes += [note for note in other.notes if note not in self.notes]

    @property
    def model_label(self) -> str:
        """The model's id for metrics and logs, `unknown` before it is known."""
        return "unknown" if self._model is None else self._model.id

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
        """The `authorization` header; Anthropic's clients put their key into `x-api-key`."""
        key = self.header(b"x-api-key")
        given = self.header(b"authorization")
        return given if given is not None or key is None else f"Bearer {key}"

    async def read_body(self, limit: int) -> bytes:
        """The whole body. Raises BodyTooLarge, InvalidRequest or ClientDisconnected."""
        if self.headers.get(b"content-encoding", b"identity") != b"identity":
            raise InvalidRequest(
                "Send the body without 'content-encoding'.", param="content-encoding"
            )
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
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

    async def disconnected(self) -> None:
        """Wait until the caller is gone."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return


def request_id(given: bytes, make_id: Callable[[], str]) -> str:
    """The caller's id for its request if it is harmless in headers and logs, else a new one."""
    return given.decode() if _REQUEST_ID.fullmatch(given) else "req_" + make_id()


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is longer than {limit} bytes.")
