"""A client that costs little: raw HTTP/1.1 on kept connections, with times of what comes.

It must leave the core that it shares with the upstream to the upstream, so it looks for marks in
the bytes instead of parsing them; `check_one` reads one answer of each kind properly.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, cast

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_RETRY = re.compile(rb"retry-after: *(\d+)", re.IGNORECASE)
_DUE = re.compile(rb"due (\d{15});")
_END = b"0\r\n\r\n"
_TEXTS = (b"word", b"talk", b"due ", b'"reasoning')
_DONE = b"data: [DONE]"


@dataclass(frozen=True)
class Address:
    """An OpenAI-compatible server on this machine."""

    name: str
    port: int
    model: str
    key: str = field(default="none", repr=False)


@dataclass(slots=True)
class Answer:
    """What one request took, in seconds of the monotonic clock; `late`: of each paced token.

    `retry_after` is the header, in seconds; 0 without one.
    """

    began: float
    first: float = 0.0
    ended: float = 0.0
    status: int = 0
    complete: bool = False
    retry_after: int = 0
    late: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From the question to the answer's end."""
        return self.ended - self.began

    @property
    def ttft(self) -> float:
        """From the question to the first token."""
        return self.first - self.began


def question(
    to: Address, text: str, *, tokens: int = 16, stream: bool = False, **more: Any
) -> bytes:
    """A whole request as bytes; `more` are fields of its body."""
    body = {
        "model": to.model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": text},
        ],
        "max_tokens": tokens,
        # Sampled, so that no gateway may give an answer twice.
        "temperature": 0.7,
        "stream": stream,
        **more,
    }
    data = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{to.port}\r\n"
        f"authorization: Bearer {to.key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class Line(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: Answer | None = None
        self._ready: asyncio.Future[Answer]
        self._head = b""
        self._left = -1
        self._tail = b""
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to ask."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that is under way is over, and nothing more can be asked."""
        self.lost = True
        self._end(complete=False)

    async def ask(self, request: bytes) -> Answer:
        """The answer; one that was cut is not `complete`."""
        self._ready = asyncio.get_running_loop().create_future()
        self._head, self._tail, self._left = b"", b"", -1
        self._answer = Answer(time.monotonic())
        self._transport.write(request)
        return await self._ready

    def close(self) -> None:
        """Hang up, also in the middle of an answer."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Some of the answer."""
        answer = self._answer
        if answer is None:
            return
        if not answer.status:
            self._head += data
            head, mark, data = self._head.partition(b"\r\n\r\n")
            if not mark:
                return
            answer.status = int(head[9:12])
            retry = _RETRY.search(head)
            answer.retry_after = int(retry[1]) if retry else 0
            length = _LENGTH.search(head)
            self._left = int(length[1]) if length else -1
        if self._left >= 0:
            self._left -= len(data)
            if self._left <= 0:
                self._end(complete=True)
            return
        self._stream(answer, data)

    def _stream(self, answer: Answer, data: bytes) -> None:
        now = time.monotonic()
        joined = self._tail + data
        if not answer.first and any(text in joined for text in _TEXTS):
            answer.first = now
        if b"due " in joined:
            for due in _DUE.finditer(joined):
                if due.end() > len(self._tail):
                    answer.late.append(now - int(due[1]) * 1e-6)
        self._tail = joined[-64:]
        if self._tail.endswith(_END):
            self._end(complete=_DONE in self._tail or answer.status != 200)

    def _end(self, *, complete: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.ended = time.monotonic()
            answer.complete = complete
            if not self._ready.done():
                self._ready.set_result(answer)


async def connect(to: Address) -> Line:
    """A connection to a server."""
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(Line, "127.0.0.1", to.port)
    return line


async def check_one(to: Address, *, tokens: int) -> None:
    """Read one stream as a client does. Raises RuntimeError if it isn't all of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", to.port)
    request = question(to, "check", tokens=tokens, stream=True)
    writer.write(request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
    head = await reader.readuntil(b"\r\n\r\n")
    data = b""
    if b"chunked" in head.lower():
        while size := int((await reader.readline()).split(b";")[0], 16):
            data += await reader.readexactly(size)
            await reader.readline()
    else:
        data = await reader.read()
    writer.close()
    events = [json.loads(block[6:]) for block in data.split(b"\n\n") if block[:7] == b"data: {"]
    choices = [choice for event in events for choice in event["choices"]]
    texts = [choice["delta"].get("content") or "" for choice in choices]
    said = "".join(texts).split()
    if len(said) != tokens or b"data: [DONE]" not in data:
        raise RuntimeError(f"{to.name} gave another answer: {head + data[:300]!r}")
