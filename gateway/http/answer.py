"""The bytes of an answer's head and of its body's pieces. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

Header = tuple[bytes, bytes]

LAST_CHUNK = b"0\r\n\r\n"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class BadHeader(Exception):
    """A header that would end early or begin another one."""


class Head:
    """An answer's status line and headers, and what they say of its body."""

    __slots__ = ("chunked", "closes", "data", "length")

    def __init__(
        self, status: int, headers: Iterable[Header], *, date: bytes, keep: bool, modern: bool
    ) -> None:
        """Args: `keep`: the connection may go on; `modern`: the caller speaks HTTP/1.1.

        Raises BadHeader.
        """
        self.length: int | None = None
        self.closes = not keep
        dated = False
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        for name, value in headers:
            name = name.lower()
            if name == b"content-length":
                self.length = int(value)
            elif name == b"connection":
                self.closes = self.closes or b"close" in value.lower()
                continue
            elif name == b"date":
                dated = True
            lines.append(name + b": " + value + b"\r\n")
        bodiless = status in (204, 304) or status < 200
        self.chunked = self.length is None and modern and not bodiless
        if bodiless and self.length is None:
            self.length = 0
        if self.length is None and not self.chunked:
            # Of HTTP/1.0 the end of the connection is the body's end.
            self.closes = True
        if not dated:
            lines.append(date)
        if self.chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        if self.closes:
            lines.append(b"connection: close\r\n")
        elif not modern:
            lines.append(b"connection: keep-alive\r\n")
        self.data = b"".join(lines)
        if self.data.count(b"\n") != len(lines) or self.data.count(b"\r") != len(lines):
            raise BadHeader
        self.data += b"\r\n"


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body; `data` is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def refusal(status: int, message: str) -> bytes:
    """A whole answer to what is no request, in OpenAI's form, after which the connection ends."""
    body = (
        b'{"error":{"message":"%b","type":"invalid_request_error","param":null,"code":null}}'
        % message.encode()
    )
    head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return _STATUS_LINES[status] + head % len(body) + body
