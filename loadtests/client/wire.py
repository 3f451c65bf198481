"""HTTP/1.1 answers and server-sent events, from bytes as they come. No I/O."""

from __future__ import annotations

_MOST_HEAD = 64 * 1024
_MOST_LINE = 16 * 1024 * 1024


class UnreadableError(ValueError):
    """These bytes are no answer."""


class Response:
    """One answer. `status` is 0 until its head is whole."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.whole = False
        self._buffer = bytearray()
        self._chunked = False
        self._left: int | None = None
        """Bytes to come of the body, or of the chunk; None: up to the connection's end."""
        self._trailers = False

    @property
    def reusable(self) -> bool:
        """Whether the connection may serve another call."""
        told = self._chunked or "content-length" in self.headers
        return self.whole and told and "close" not in self.headers.get("connection", "").lower()

    @property
    def endless(self) -> bool:
        """Whether only the connection's end ends the body."""
        return self.status != 0 and not self._chunked and self._left is None

    def feed(self, data: bytes) -> bytes:
        """What these bytes add to the body. Raises UnreadableError."""
        self._buffer += data
        if not self.status and not self._head():
            return b""
        return self._of_chunks() if self._chunked else self._of_body()

    def close(self) -> None:
        """The connection ended: so does a body whose length nobody told."""
        self.whole = self.whole or self.endless

    def _head(self) -> bool:
        while True:
            head, mark, rest = self._buffer.partition(b"\r\n\r\n")
            if not mark:
                if len(self._buffer) > _MOST_HEAD:
                    raise UnreadableError("an answer's head is too long")
                return False
            lines = head.decode("latin-1").split("\r\n")
            words = lines[0].split(" ", 2)
            if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdecimal():
                raise UnreadableError(f"no HTTP/1.1: {lines[0][:60]!r}")
            self._buffer = rest
            if words[1].startswith("1"):
                continue
            self.status = int(words[1])
            pairs = (line.partition(":") for line in lines[1:])
            self.headers = {name.strip().lower(): text.strip() for name, _, text in pairs}
            self._framing()
            return True

    def _framing(self) -> None:
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length")
        if self._chunked:
            self._left = 0
        elif length is not None:
            if not length.isdecimal():
                raise UnreadableError(f"content-length: {length[:60]!r}")
            self._left = int(length)
        elif self.status in (204, 304):
            self._left = 0

    def _of_body(self) -> bytes:
        if self._left is None:
            body = bytes(self._buffer)
            self._buffer.clear()
            return body
        body = bytes(self._buffer[: self._left])
        self._left -= len(body)
        del self._buffer[: len(body)]
        self.whole = self._left == 0
        return body

    def _of_chunks(self) -> bytes:
        body = bytearray()
        while not self.whole:
            if self._left:
                part = self._buffer[: self._left]
                body += part
                self._left -= len(part)
                del self._buffer[: len(part)]
                if self._left:
                    break
            line, mark, rest = self._buffer.partition(b"\r\n")
            if not mark:
                if len(self._buffer) > _MOST_HEAD:
                    raise UnreadableError("a chunk's head is too long")
                break
            self._buffer = rest
            if self._trailers:
                self.whole = not line
            elif line:
                # An empty line ends the chunk before.
                self._left = self._size(line)
                self._trailers = self._left == 0
        return bytes(body)

    @staticmethod
    def _size(line: bytearray) -> int:
        try:
            return int(line.split(b";")[0], 16)
        except ValueError:
            raise UnreadableError(f"no chunk: {bytes(line[:60])!r}") from None


class Events:
    """The data of server-sent events."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []

    def feed(self, body: bytes) -> list[bytes]:
        """The data of the events that end in these bytes. Raises UnreadableError."""
        found: list[bytes] = []
        *lines, rest = (self._line + body).split(b"\n")
        if len(rest) > _MOST_LINE:
            raise UnreadableError("a line of a stream is too long")
        self._line = rest
        for line in (each.removesuffix(b"\r") for each in lines):
            if line.startswith(b"data:"):
                self._data.append(bytes(line[5:].removeprefix(b" ")))
            elif not line and self._data:
                found.append(b"\n".join(self._data))
                self._data = []
        return found
