"""HTTP to the upstreams: opening an answer, and the calls beside it."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from gateway.call import Call
from gateway.errors import (
    DeadlineExceeded,
    UpstreamError,
    UpstreamFailed,
)
from gateway.http.client import HttpClient, Unreachable
from gateway.http.wire import Broken, NotHttp, Response
from gateway.model_settings import Timeouts
from gateway.settings_types import is_link_local
from gateway.upstream.dialects import Lookup
from gateway.upstream.faults import compressed, connection_fault, lost, overlong, status_fault
from gateway.upstream.pool import Upstream

# uvicorn, which vLLM and Ray run under, closes idle connections after 5 s: let go sooner, or a
# request may meet a connection that is just being closed.
_IDLE_CONNECTION_S = 3.0


_FAULTS = (Unreachable, Broken, NotHttp, TimeoutError)

# A host that is gone, or cut off, sends nothing; its kernel would have answered these.
_PROBE_AFTER_S = 15
_PROBE_EVERY_S = 5
_PROBES = 3


OWN = "x-r1-own"
"""Header of what the gateway asks for itself: it is no reason to keep a replica, or to add one."""
_LONGEST_VERSION = 64

# Of what is asked beside answers: health, token ids of a prompt, texts of token ids.
_LOOK_BYTES = 16 * 1024 * 1024


def make_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose peer's silence is noticed within half a minute, also while an answer that
    takes minutes is waited for; `address` is one of getaddrinfo's.

    Raises OSError for a link-local address, whatever name led there: a cloud's metadata service
    answers on one, with credentials.
    """
    family, kind, protocol, _, place = address
    if is_link_local(place[0]):
        raise OSError(errno.ENETUNREACH, "a link-local address is never asked")
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    return made


def make_http() -> HttpClient:
    """The connections that all requests of a worker share. Call it inside the event loop."""
    return HttpClient(make_socket, idle_s=_IDLE_CONNECTION_S)


class UpstreamClient:
    """Requests to upstreams over shared connections. Every fault is an UpstreamError."""

    def __init__(self, http: HttpClient, *, max_answer_bytes: int) -> None:
        self._http = http
        self._max_answer_bytes = max_answer_bytes

    @asynccontextmanager
    async def open(
        self, upstream: Upstream, path: str, body: bytes, marks: dict[str, str], call: Call
    ) -> AsyncIterator[Response]:
        """The answer to a POST, its status checked to be 200; `marks` are headers of this attempt.

        Leaving the context early closes the connection, which makes the engine stop.
        """
        headers = self._headers(upstream) | marks
        time_left = call.time_left()
        if time_left <= 0:
            raise DeadlineExceeded("There was no time left to ask a model server.")
        if math.isfinite(time_left):
            headers["x-request-timeout"] = f"{time_left:.3f}"
        connect_s = call.model.settings.timeouts.connect_s
        try:
            response = await self._http.ask(upstream.url, path, headers, body, connect_s=connect_s)
        except _FAULTS as error:
            raise connection_fault(error) from error
        try:
            if response.status != 200:
                raise await status_fault(response)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise compressed()
            yield response
        finally:
            response.close()

    async def whole(self, response: Response) -> bytes:
        """All of an answer. Raises UpstreamLost, and UpstreamFailed where it has no end."""
        return await _read_all(response, self._max_answer_bytes)

    async def count_tokens(
        self, upstream: Upstream, prompt: dict[str, Any], timeouts: Timeouts
    ) -> int:
        """How many tokens a prompt is, by the upstream's own tokenizer (vLLM's /tokenize)."""
        lookup = Lookup("/tokenize", prompt)
        answer = await self._ask_patiently(upstream, lookup, timeouts)
        if not isinstance(answer.get("count"), int):
            raise _no_answer(lookup)
        return int(answer["count"])

    async def count_message_tokens(
        self, upstream: Upstream, prompt: dict[str, Any], timeouts: Timeouts
    ) -> int:
        """The same for a prompt in Anthropic's form."""
        lookup = Lookup("/v1/messages/count_tokens", prompt)
        answer = await self._ask_patiently(upstream, lookup, timeouts)
        count = answer.get("input_tokens")
        if not isinstance(count, int):
            raise _no_answer(lookup)
        return count

    async def engine_version(self, upstream: Upstream, timeout_s: float) -> str:
        """The engine's version (vLLM's /version). Raises UpstreamError."""
        lookup = Lookup("/version")
        version = (await self._ask(upstream, lookup, timeout_s)).get("version")
        if not isinstance(version, str):
            raise _no_answer(lookup)
        return version[:_LONGEST_VERSION]

    async def completion(
        self, upstream: Upstream, body: dict[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        """The whole answer to a question of the gateway's own. Raises UpstreamError."""
        lookup = Lookup("/v1/completions", body)
        return await self._ask(upstream, lookup, timeout_s, {OWN: "canary"})

    async def token(self, upstream: Upstream, text: str, timeouts: Timeouts) -> int | None:
        """The id of `text` where it is one token (vLLM's /tokenize). Raises UpstreamError."""
        prompt = {"model": upstream.model, "prompt": text, "add_special_tokens": False}
        answer = await self._ask_patiently(upstream, Lookup("/tokenize", prompt), timeouts)
        tokens = answer.get("tokens")
        found = tokens[0] if isinstance(tokens, list) and len(tokens) == 1 else None
        return found if isinstance(found, int) else None

    async def detokenize(self, upstream: Upstream, ids: list[int], timeouts: Timeouts) -> str:
        """The text of tokens, special ones too (vLLM's /detokenize). Raises UpstreamError."""
        lookup = Lookup("/detokenize", {"model": upstream.model, "tokens": ids})
        answer = await self._ask_patiently(upstream, lookup, timeouts)
        text = answer.get("prompt")
        if not isinstance(text, str):
            raise _no_answer(lookup)
        return text

    async def healthy(self, upstream: Upstream, timeout_s: float) -> bool:
        """True if the upstream tells, in time, that it can serve its model."""
        dialect = upstream.dialect
        found = await self.look(upstream, timeout_s)
        return found is not None and dialect.well(*found, upstream.model)

    async def look(self, upstream: Upstream, timeout_s: float) -> tuple[int, bytes] | None:
        """Status and body of what its health is told with; None if it didn't answer in time."""
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._http.ask(
                    upstream.url,
                    upstream.dialect.health_path,
                    self._headers(upstream),
                    None,
                    connect_s=timeout_s,
                )
                try:
                    return response.status, await _read_all(response, _LOOK_BYTES)
                finally:
                    response.close()
        except (*_FAULTS, UpstreamError):
            return None

    async def learn(self, upstream: Upstream, timeout_s: float) -> None:
        """Learn what its dialect can find out of the model. Raises UpstreamError."""
        lookup = upstream.dialect.lookup(upstream.model)
        if lookup is None:
            return
        facts = upstream.dialect.facts(await self._ask(upstream, lookup, timeout_s))
        length, configured = facts.context_length, upstream.context_length
        if length is not None:
            upstream.context_length = length if configured is None else min(length, configured)
        if upstream.think_end is None:
            upstream.think_end = facts.think_end

    async def _ask_patiently(
        self, upstream: Upstream, lookup: Lookup, timeouts: Timeouts
    ) -> dict[str, Any]:
        """For a caller who waits: without the answer there is none for them either."""
        seconds = timeouts.connect_s + timeouts.idle_s
        return await self._ask(upstream, lookup, seconds, connect_s=timeouts.connect_s)

    async def _ask(
        self,
        upstream: Upstream,
        lookup: Lookup,
        timeout_s: float,
        marks: Mapping[str, str] | None = None,
        connect_s: float | None = None,
    ) -> dict[str, Any]:
        body = None if lookup.body is None else orjson.dumps(lookup.body)
        headers = {**self._headers(upstream), **(marks or {})}
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._http.ask(
                    upstream.url, lookup.path, headers, body, connect_s=connect_s or timeout_s
                )
                try:
                    if response.status != 200:
                        raise await status_fault(response)
                    answer = orjson.loads(await _read_all(response, _LOOK_BYTES))
                finally:
                    response.close()
        except _FAULTS as error:
            raise connection_fault(error) from error
        except orjson.JSONDecodeError as error:
            raise _no_answer(lookup) from error
        if not isinstance(answer, dict):
            raise _no_answer(lookup)
        return answer

    @staticmethod
    def _headers(upstream: Upstream) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "r1",
        }
        if upstream.authorization is not None:
            headers["authorization"] = upstream.authorization
        return headers


def _no_answer(lookup: Lookup) -> UpstreamFailed:
    return UpstreamFailed(f"The model server gave no answer at {lookup.path}.")


async def read_piece(response: Response) -> bytes:
    """The next bytes of an answer, b"" at its end. Raises UpstreamLost."""
    try:
        return await response.piece()
    except (Broken, NotHttp) as error:
        raise lost() from error


async def _read_all(response: Response, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await read_piece(response):
        size += len(piece)
        if size > most:
            raise overlong(most)
        pieces.append(piece)
    return b"".join(pieces)
