"""Answers that no model server should give."""

from __future__ import annotations

import gzip
import json
import socket

from tests.contract.safety.wire import ANSWER, Reply, answer, endless


def last_words(data: bytes) -> Reply:
    """An answer after which the connection is closed."""

    def send(line: socket.socket) -> None:
        line.sendall(data)

    return send


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
_ONCE = {
    "choices of numbers": answer(b'{"choices": [5]}'),
    "nested": answer(b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a gift": answer(json.dumps({**ANSWER, "usage": {"prompt_tokens": -(10**9)}}).encode()),
    "a huge bill": answer(json.dumps({**ANSWER, "usage": {"prompt_tokens": 1e300}}).encode()),
    "html": answer(b"<html>", "content-type: text/html"),
    "gzip bomb": answer(gzip.compress(b" " * 100_000_000), "content-encoding: gzip"),
    "unknown coding": answer(b"\x00" * 100, "content-encoding: br"),
    "no http": b"hello\r\n\r\n",
    "no status": b"HTTP/1.1 xyz\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}1",
    "two framings": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
    "bad chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "long status": b"HTTP/1.1 200 " + b"x" * 1_000_000,
    "a line too long": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000,
    "deltas of numbers": HEAD + b'data: {"choices": [{"delta": 5}]}\n\n',
    "ids of texts": HEAD + b'data: {"choices": [{"delta": {}, "token_ids": ["x"]}]}\n\n',
}
WRONG: dict[str, Reply] = {
    **{name: last_words(data) for name, data in _ONCE.items()},
    "headers without end": endless(b"HTTP/1.1 200 OK\r\n", b"x-a: 1\r\n" * 1000),
    "a body without end": endless(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536),
    "chunks without end": endless(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"4000\r\n%b\r\n" % (b" " * 16384)
    ),
    "a trailer without end": endless(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-a: ", b"y" * 65536
    ),
    "an event without end": endless(HEAD + b"data: {", b"x" * 65536),
}
