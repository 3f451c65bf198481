"""What servers with OpenAI's chunks and no token ids have in common."""

from __future__ import annotations

from typing import Any

from gateway.model_settings import Defaults
from gateway.protocol import sse
from gateway.protocol.request import Asked, prepare
from gateway.protocol.stream import StreamTranslator
from gateway.protocol.usage import Usage
from gateway.protocol.vendor import VendorStream, vendor_whole
from gateway.upstream.dialects import Splitter, only_chunks


class Vendor:
    """Chats and completions in OpenAI's form; what is known of tokens is what the server says."""

    tokenizes = False
    continues = False

    def __init__(self, *, opens_think: bool) -> None:
        self._opens_think = opens_think

    def body(self, asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
        """All that was asked, in OpenAI's and DeepSeek's names. Raises UpstreamUnfit."""
        only_chunks(asked)
        body = prepare(asked, model=served, temperature=defaults.temperature, top_p=defaults.top_p)
        if asked.api == "chat":
            body["messages"] = [_named_as_deepseek(each) for each in body["messages"]]
        return body

    def splitter(self) -> Splitter:
        """Server-sent events; comments and blank lines, DeepSeek's signs of life, are dropped."""
        return sse.EventScanner()

    def stream(self, asked: Asked, model: str, think_end: int | None) -> StreamTranslator:
        """Chunks without token ids."""
        return VendorStream(asked, model, opens_think=self._opens_think)

    def whole(
        self, data: bytes, asked: Asked, model: str, think_end: int | None
    ) -> tuple[bytes, Usage]:
        """A body without token ids; JSON allows blank lines in front."""
        return vendor_whole(data, asked, model, opens_think=self._opens_think)


def _named_as_deepseek(message: dict[str, Any]) -> dict[str, Any]:
    """DeepSeek's name for the reasoning of an earlier answer."""
    if "reasoning" not in message:
        return message
    others = {name: value for name, value in message.items() if name != "reasoning"}
    return {**others, "reasoning_content": message["reasoning"]}
