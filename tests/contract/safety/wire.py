"""Both ends of the gateway as bytes: a caller and a model server that write what they like."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.stack import Gateway, chat

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "r1-nano",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "12", "reasoning": "7+5"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9},
}
Reply = bytes | Callable[[socket.socket], None]
_LENGTH = re.compile(rb"^content-length: *(\d+)\r?$", re.IGNORECASE | re.MULTILINE)


def answer(
    body: bytes = json.dumps(ANSWER).encode(), *headers: str, status: str = "200 OK"
) -> bytes:
    """An HTTP answer with a length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def endless(head: bytes, piece: bytes) -> Reply:
    """An answer that never ends."""

    def send(line: socket.socket) -> None:
        line.sendall(head)
        while True:
            line.sendall(piece)

    return send


class RawServer:
    """A model server on a plain socket.

    It keeps the bytes of each connection, is always in health, and answers whatever else it is
    asked with `reply`: these bytes, or what a function writes.
    """

    def __init__(self) -> None:
        self.reply: Reply = answer()
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._lines: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def reset(self) -> None:
        """Answer as it should, and forget what was asked."""
        self.reply = answer()
        self.asked.clear()

    def close(self) -> None:
        """End all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in list(self._lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(line,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, line: socket.socket) -> None:
        self._lines.add(line)
        with line, contextlib.suppress(OSError):
            while request := _read(line):
                self._answer(line, request)
        self._lines.discard(line)

    def _answer(self, line: socket.socket, request: bytes) -> None:
        path = request.split(b" ", 2)[1]
        if path.endswith(b"/health"):
            line.sendall(answer(b""))
        elif path.endswith(b"/tokenize"):
            counted = {"count": 5, "max_model_len": 4096, "tokens": [3]}
            line.sendall(answer(json.dumps(counted).encode()))
        else:
            self.asked.append(request)
            if isinstance(self.reply, bytes):
                line.sendall(self.reply)
            else:
                self.reply(line)
                line.shutdown(socket.SHUT_RDWR)


def _read(line: socket.socket) -> bytes:
    """The next request's bytes, and whatever came with them; b"" at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = line.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    missing = (int(found.group(1)) if found else 0) - len(body)
    while missing > 0:
        piece = line.recv(65536)
        if not piece:
            break
        data += piece
        missing -= len(piece)
    return data


def request(gateway: Gateway, *headers: str, body: bytes | None = None, **asked: Any) -> bytes:
    """The bytes of a chat request; `headers` come first, and a length only if none has one."""
    data = json.dumps(chat(**asked)).encode() if body is None else body
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: gateway",
        *headers,
        f"authorization: Bearer {gateway.key}",
    ]
    if not any("content-length" in each.lower() or "encoding" in each.lower() for each in headers):
        lines.append(f"content-length: {len(data)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + data


@contextlib.contextmanager
def caller(gateway: Gateway, timeout_s: float = 20.0) -> Iterator[socket.socket]:
    """A connection to the gateway."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout_s) as line:
        yield line


def rest(line: socket.socket) -> bytes:
    """All that still comes, up to the end of the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError, TimeoutError):
        while piece := line.recv(65536):
            data += piece
    return data


LAST = b"GET /livez HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n"
"""A request after which the gateway closes the connection."""


def say(gateway: Gateway, data: bytes, timeout_s: float = 20.0) -> bytes:
    """What the gateway answers to these bytes, and to `LAST` behind them if it reads that far."""
    with caller(gateway, timeout_s) as line:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            line.sendall(data + LAST)
        return rest(line)


def statuses(data: bytes) -> list[int]:
    """The statuses of the answers in some bytes."""
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]
