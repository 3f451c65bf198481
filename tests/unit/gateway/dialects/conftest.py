"""What real servers said, as recorded, and what the gateway makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.protocol.request import Api, Asked, parse
from gateway.upstream.dialects import Dialect

RECORDED = Path(__file__).parent / "recorded"


def asked(api: Api = "chat", **body: Any) -> Asked:
    """A parsed request."""
    least: dict[str, Any] = {"model": "m"}
    if api == "chat":
        least["messages"] = [{"role": "user", "content": "1+1"}]
    else:
        least["prompt"] = "1+1="
    return parse(orjson.dumps({**least, **body}), api, max_depth=64)


def events(dialect: Dialect, request: Asked, data: bytes, size: int = 7) -> list[dict[str, Any]]:
    """The events that the caller gets of a stream that comes in pieces of `size` bytes."""
    splitter, stream = dialect.splitter(), dialect.stream(request, "r1", None)
    out = b""
    ended = False
    for at in range(0, len(data), size):
        for event in splitter.feed(data[at : at + size]):
            piece = stream.event(event)
            out += piece.data
            ended = ended or piece.end
    assert ended
    assert stream.finished
    lines = out.decode().split("\n\n")
    return [orjson.loads(line.removeprefix("data: ")) for line in lines if line]


def texts(chunks: list[dict[str, Any]], index: int = 0) -> tuple[str, str]:
    """Reasoning and content of a stream; each delta has both keys and text in one of them."""
    reasoning = content = ""
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"] != index:
                continue
            delta = choice["delta"]
            assert {"content", "reasoning_content"} <= delta.keys()
            assert not (delta["content"] and delta["reasoning_content"])
            assert not (content and delta["reasoning_content"]), "reasoning after content"
            reasoning += delta["reasoning_content"] or ""
            content += delta["content"] or ""
    return reasoning, content


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], bytes]:
    """A recorded body or stream, by its file's name."""
    return lambda name: (RECORDED / name).read_bytes()
