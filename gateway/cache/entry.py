"""A kept answer as bytes: who made it, a line of JSON about it, and the body. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson
import zstandard

from gateway.protocol.usage import Usage

TAG_LENGTH = 16
_LEVEL = 3


class UnreadableEntry(Exception):
    """The bytes are not an entry, or one of another version."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A complete answer. Times are in seconds since 1970."""

    tag: str
    """Unique to the generation that made it; TAG_LENGTH characters."""
    stored: float
    fresh_until: float
    gone_at: float
    usage: Usage
    body: bytes

    def pack(self, compress_over: int) -> bytes:
        """As bytes; bodies longer than `compress_over` are compressed with zstd."""
        small = len(self.body) <= compress_over
        about = {
            "stored": self.stored,
            "fresh_until": self.fresh_until,
            "gone_at": self.gone_at,
            "usage": asdict(self.usage),
            "zstd": not small,
        }
        body = self.body if small else zstandard.ZstdCompressor(_LEVEL).compress(self.body)
        return self.tag.encode() + orjson.dumps(about) + b"\n" + body

    @staticmethod
    def unpack(data: bytes) -> Entry:
        """From `pack`. Raises UnreadableEntry."""
        line, _, body = data[TAG_LENGTH:].partition(b"\n")
        try:
            about = orjson.loads(line)
            return Entry(
                tag=data[:TAG_LENGTH].decode(),
                stored=about["stored"],
                fresh_until=about["fresh_until"],
                gone_at=about["gone_at"],
                usage=Usage(**about["usage"]),
                body=zstandard.ZstdDecompressor().decompress(body) if about["zstd"] else body,
            )
        except (ValueError, KeyError, TypeError, zstandard.ZstdError) as error:
            raise UnreadableEntry from error
