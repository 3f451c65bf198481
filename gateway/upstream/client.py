"""HTTP to the upstreams: opening an answer, and the calls beside it."""

from __future__ import annotations

import math
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from gateway.call import Call
from gateway.errors import (
    DeadlineExceeded,
    UpstreamFailed,
)
from gateway.model_settings import Timeouts
from gateway.upstream.dialects import Lookup
from gateway.upstream.faults import connection_fault, lost, status_fault
from gateway.upstream.pool import Upstream

# uvicorn, which vLLM and Ray run under, closes idle connections after 5 s: let go sooner, or a
# request may meet a connection that is just being closed.
_IDLE_CONNECTION_S = 3.0


# A host that is gone, or cut off, sends nothing; its kernel would have answered these.
_PROBE_AFTER_S = 15
_PROBE_EVERY_S = 5
_PROBES = 3


def make_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose peer's silence is noticed within half a minute, also while an answer that
    takes minutes is waited for; `address` is one of getaddrinfo's."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    return made


def make_session() -> aiohttp.ClientSession:
    """The session that all requests of a worker share. Call it inside the event loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=_IDLE_CONNECTION_S,
            ttl_dns_cache=30,
            socket_factory=make_socket,
        ),
        # Deadlines are set where the answer is read: only there is it known what waits.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        auto_decompress=True,
        raise_for_status=False,
    )


class UpstreamClient:
    """Requests to upstreams over one shared session. Every fault is an UpstreamError."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @asynccontextmanager
    async def open(
        self, upstream: Upstream, path: str, body: bytes, request_id: str, call: Call
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a POST, its status checked to be 200.

        Leaving the context early closes the connection, which makes the engine stop.
        """
        headers = self._headers(upstream)
        headers["x-request-id"] = request_id
        time_left = call.time_left()
        if time_left <= 0:
            raise DeadlineExceeded("There was no time left to ask a model server.")
        if math.isfinite(time_left):
            headers["x-request-timeout"] = f"{time_left:.3f}"
        timeouts = call.model.settings.timeouts
        try:
            response = await self._session.post(
                upstream.url + path,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s),
                allow_redirects=False,
            )
        except aiohttp.ClientError as error:
            raise connection_fault(error) from error
        except TimeoutError as error:
            raise connection_fault(error) from error
        complete = False
        try:
            if response.status != 200:
                raise await status_fault(response)
            yield response
            complete = response.content.at_eof()
        finally:
            if complete:
                response.release()
            else:
                response.close()

    async def count_tokens(
        self, upstream: Upstream, prompt: dict[str, Any], timeouts: Timeouts
    ) -> int:
        """How many tokens a prompt is, by the upstream's own tokenizer (vLLM's /tokenize)."""
        lookup = Lookup("/tokenize", prompt)
        answer = await self._ask(upstream, lookup, timeouts.connect_s + timeouts.idle_s)
        if not isinstance(answer.get("count"), int):
            raise _no_answer(lookup)
        return int(answer["count"])

    async def count_message_tokens(
        self, upstream: Upstream, prompt: dict[str, Any], timeouts: Timeouts
    ) -> int:
        """The same for a prompt in Anthropic's form."""
        lookup = Lookup("/v1/messages/count_tokens", prompt)
        answer = await self._ask(upstream, lookup, timeouts.connect_s + timeouts.idle_s)
        count = answer.get("input_tokens")
        if not isinstance(count, int):
            raise _no_answer(lookup)
        return count

    async def detokenize(self, upstream: Upstream, ids: list[int], timeout_s: float) -> str:
        """The text of tokens (vLLM's /detokenize). Raises UpstreamError."""
        lookup = Lookup("/detokenize", {"model": upstream.model, "tokens": ids})
        answer = await self._ask(upstream, lookup, timeout_s)
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
            async with self._session.get(
                upstream.url + upstream.dialect.health_path,
                headers=self._headers(upstream),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError):
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

    async def _ask(self, upstream: Upstream, lookup: Lookup, timeout_s: float) -> dict[str, Any]:
        try:
            async with self._session.request(
                "GET" if lookup.body is None else "POST",
                upstream.url + lookup.path,
                data=None if lookup.body is None else orjson.dumps(lookup.body),
                headers=self._headers(upstream),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    raise await status_fault(response)
                answer = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise connection_fault(error) from error
        except orjson.JSONDecodeError as error:
            raise _no_answer(lookup) from error
        if not isinstance(answer, dict):
            raise _no_answer(lookup)
        return answer

    @staticmethod
    def _headers(upstream: Upstream) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if upstream.authorization is not None:
            headers["authorization"] = upstream.authorization
        return headers


def _no_answer(lookup: Lookup) -> UpstreamFailed:
    return UpstreamFailed(f"The model server gave no answer at {lookup.path}.")


async def read_piece(response: aiohttp.ClientResponse) -> bytes:
    """The next bytes of an answer, b"" at its end. Raises UpstreamLost."""
    try:
        return await response.content.readany()
    except (aiohttp.ClientError, OSError) as error:
        raise lost() from error


async def read_all(response: aiohttp.ClientResponse) -> bytes:
    """The whole of an answer. Raises UpstreamLost."""
    try:
        return await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise lost() from error
