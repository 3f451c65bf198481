"""A model server that costs almost nothing: `python -m loadtests.gateways.mock --port N`.

It answers chat completions in vLLM's form from ready-made pieces. What a request's last message
says decides how: `pace 20` has a token every 1/20 s, `fail` answers 500, all else answers at once,
one event in each turn of the loop, as an engine's steps do. Every paced token's text tells when it
was due (`due 123456789;`, microseconds of the machine's monotonic clock), so that the client knows
how late it is. Asked for them, the answers carry token ids.

A whole upstream can be bad: with --failing all its answers are 500, with --delay-ms they begin
late; its health looks good all the same. GET /count tells how many completions it was asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from dataclasses import dataclass
from typing import cast

import uvloop

PROMPT_TOKENS = 20
WHOLE_TOKENS = 16
FIRST_TOKEN_S = 0.02
"""How long a paced stream's first token takes."""

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MOST_TOKENS = re.compile(rb'"max_tokens": *(\d+)')
_PACE = re.compile(rb"pace (\d+)")
_IDS = ",".join(str(100 + place) for place in range(PROMPT_TOKENS))
_HEAD = '"id":"chatcmpl-0123456789abcdef","object":"%s","created":1760000000,"model":"%s"'
_MODEL = "r1-mock"
_USAGE = (
    f'"usage":{{"prompt_tokens":{PROMPT_TOKENS},"total_tokens":%d,"completion_tokens":%d,'
    '"prompt_tokens_details":{"cached_tokens":0}}'
)


def _chunk(rest: str) -> bytes:
    return f"data: {{{_HEAD % ('chat.completion.chunk', _MODEL)},{rest}}}\n\n".encode()


def _token(text: str, ids: bool) -> bytes:
    told = ',"token_ids":[104]' if ids else ',"token_ids":null'
    return _chunk(
        f'"choices":[{{"index":0,"delta":{{"content":"{text}"}},"logprobs":null,'
        f'"finish_reason":null{told}}}]'
    )


def _framed(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


class Forms:
    """All that can be said, ready to be sent; `ids`: with token ids."""

    def __init__(self, ids: bool) -> None:
        prompt = f"[{_IDS}]" if ids else "null"
        self.opening = _framed(
            _chunk(
                '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,'
                f'"finish_reason":null}}],"prompt_token_ids":{prompt},"prompt_text":null'
            )
        )
        # Two in turn: some gateways end what repeats itself.
        self.tokens = (_framed(_token("word ", ids)), _framed(_token("talk ", ids)))
        timed = _token("due %015d;", ids)
        self.timed = b"%x\r\n%s\r\n" % (len(timed) + 15 - len("%015d"), timed)
        told = "[105]" if ids else "null"
        self.last = _framed(
            _chunk(
                '"choices":[{"index":0,"delta":{"content":"."},"logprobs":null,'
                f'"finish_reason":"stop","stop_reason":null,"token_ids":{told}}}]'
            )
        )
        answer = ",".join(["104"] * WHOLE_TOKENS)
        body = (
            f"{{{_HEAD % ('chat.completion', _MODEL)},"
            '"choices":[{"index":0,"message":{"role":"assistant","content":"'
            + "word "
            * WHOLE_TOKENS
            + '","refusal":null,"annotations":null,"audio":null,"function_call":null,'
            '"reasoning":null},"logprobs":null,"finish_reason":"stop","stop_reason":null,'
            f'"token_ids":{f"[{answer}]" if ids else "null"}}}],"service_tier":null,'
            f'"system_fingerprint":"mock",{_USAGE % (PROMPT_TOKENS + WHOLE_TOKENS, WHOLE_TOKENS)},'
            f'"prompt_logprobs":null,"prompt_token_ids":{prompt},"kv_transfer_params":null}}'
        ).encode()
        self.whole = _answer(200, body)


def _answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_DONE = _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
_BAD = _answer(500, b'{"error":{"message":"mock","type":"server_error","code":500}}')
_MODELS = _answer(
    200,
    b'{"object":"list","data":[{"id":"%s","object":"model","created":1,"owned_by":"mock",'
    b'"max_model_len":32768}]}' % _MODEL.encode(),
)
_TOKENIZED = _answer(200, b'{"count":1,"max_model_len":32768,"tokens":[99]}')
_PLAIN, _WITH_IDS = Forms(ids=False), Forms(ids=True)


@dataclass
class Manner:
    """How a whole upstream behaves, and what it was asked so far."""

    failing: bool = False
    delay_s: float = 0.0
    asked: int = 0


class Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self._transport: asyncio.Transport
        self._open = False
        self._writable = True
        self._left = 0
        self._forms = _PLAIN
        self._tokens = 0
        self._due = 0.0
        self._interval = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is known yet."""
        self._transport = cast("asyncio.Transport", transport)
        self._open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """What is being said ends."""
        self._open = False

    def pause_writing(self) -> None:
        """The reader is slow."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on."""
        self._writable = True
        if self._left and not self._interval:
            self._say()

    def data_received(self, data: bytes) -> None:
        """Answer when a request is complete."""
        self._held += data
        head, mark, body = self._held.partition(b"\r\n\r\n")
        if not mark:
            return
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(body) < size:
            return
        self._held = body[size:]
        body = body[:size]
        if b"chat/completions" not in head[:64]:
            self._inform(head[:64])
            return
        self._manner.asked += 1
        if self._manner.delay_s:
            self._loop.call_later(self._manner.delay_s, self._answer, body)
        else:
            self._answer(body)

    def _inform(self, head: bytes) -> None:
        if b"/count" in head:
            self._transport.write(_answer(200, b"%d" % self._manner.asked))
        elif b"/models" in head:
            self._transport.write(_MODELS)
        else:
            self._transport.write(_TOKENIZED if b"/tokenize" in head else _answer(200, b"{}"))

    def _answer(self, body: bytes) -> None:
        if self._manner.failing or b'"fail"' in body:
            self._transport.write(_BAD)
        else:
            self._forms = _WITH_IDS if b'"return_token_ids":true' in body else _PLAIN
            if b'"stream":true' not in body and b'"stream": true' not in body:
                self._transport.write(self._forms.whole)
                return
            most = _MOST_TOKENS.search(body)
            self._left = self._tokens = int(most[1]) if most else 200
            self._transport.write(_STREAM + self._forms.opening)
            paced = _PACE.search(body)
            if paced is None:
                self._interval = 0.0
                self._loop.call_soon(self._say)
            else:
                self._interval = 1 / int(paced[1])
                self._due = time.monotonic() + FIRST_TOKEN_S
                self._loop.call_later(FIRST_TOKEN_S, self._say_in_time)

    def _say(self) -> None:
        """One token in a turn of the loop."""
        if not self._open or not self._writable:
            return
        self._left -= 1
        if self._left:
            self._transport.write(self._forms.tokens[self._left & 1])
            self._loop.call_soon(self._say)
        else:
            self._end()

    def _say_in_time(self) -> None:
        if not self._open:
            return
        self._left -= 1
        if self._left:
            self._transport.write(self._forms.timed % int(self._due * 1e6))
            self._due += self._interval
            self._loop.call_later(max(0.0, self._due - time.monotonic()), self._say_in_time)
        else:
            self._end()

    def _end(self) -> None:
        counts = (PROMPT_TOKENS + self._tokens, self._tokens)
        usage = _framed(_chunk(f'"choices":[],{_USAGE % counts}'))
        self._transport.write(self._forms.last + usage + _DONE)


async def _serve(port: int, manner: Manner) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(manner), "127.0.0.1", port, backlog=2048)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--failing", action="store_true")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    args = parser.parse_args()
    uvloop.run(_serve(args.port, Manner(args.failing, args.delay_ms / 1000)))


if __name__ == "__main__":
    main()
