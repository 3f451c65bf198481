"""Redis' protocol, RESP2: commands as bytes, and replies from bytes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError


class Unfinished(Exception):
    """The reply goes on in bytes that have not come yet."""


class NoReply(Exception):
    """What came is not Redis' protocol."""


def command(words: Sequence[Any]) -> bytes:
    """A command as Redis reads it; its words are bytes, or anything that `str` makes text of."""
    texts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(texts) + b"".join(
        [b"$%d\r\n%b\r\n" % (len(text), text) for text in texts]
    )


def reply(data: bytes, at: int) -> tuple[Any, int]:
    """The reply that begins at `at`, and where the next one begins.

    Texts are decoded. A fault that Redis tells of is given back as a ResponseError. Raises
    Unfinished or NoReply.
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Unfinished
    kind, told, after = data[at], data[at + 1 : end], end + 2
    if kind == 36:  # $ a text
        size = int(told)
        if size < 0:
            return None, after
        if len(data) < after + size + 2:
            raise Unfinished
        return data[after : after + size].decode(), after + size + 2
    if kind == 42:  # * a list
        if int(told) < 0:
            return None, after
        items = []
        for _ in range(int(told)):
            item, after = reply(data, after)
            items.append(item)
        return items, after
    if kind == 58:  # : a number
        return int(told), after
    if kind == 43:  # + a word
        return told.decode(), after
    if kind == 45:  # - a fault
        return fault(told.decode(errors="replace")), after
    raise NoReply


def fault(text: str) -> ResponseError:
    """The error that Redis tells of."""
    name, _, rest = text.partition(" ")
    if name == "NOSCRIPT":
        return NoScriptError(rest)
    if name == "READONLY":
        return ReadOnlyError(rest)
    return ResponseError(text)
