"""vLLM's own server, also behind Ray Serve."""

from __future__ import annotations

from typing import Any

from gateway.protocol import sse
from gateway.protocol.answer import translate_body
from gateway.protocol.request import Api, Asked, prepare
from gateway.protocol.stream import StreamTranslator, stream_translator
from gateway.protocol.usage import Usage
from gateway.settings import Defaults
from gateway.upstream.dialects import Splitter

_PATHS: dict[Api, str] = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}


class Vllm:
    """The dialect that knows token ids."""

    name = "vllm"
    health_path = "/health"
    tokenizes = True
    continues = True

    def path(self, api: Api) -> str:
        """OpenAI's paths."""
        return _PATHS[api]

    def body(self, asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
        """With token ids and usage asked for, which the gateway counts with."""
        return prepare(asked, model=served, temperature=defaults.temperature, top_p=defaults.top_p)

    def splitter(self) -> Splitter:
        """Server-sent events."""
        return sse.EventScanner()

    def stream(self, asked: Asked, model: str, think_end: int | None) -> StreamTranslator:
        """Chunks as vLLM streams them."""
        return stream_translator(asked, model, think_end)

    def whole(
        self, data: bytes, asked: Asked, model: str, think_end: int | None
    ) -> tuple[bytes, Usage]:
        """A body as vLLM gives it."""
        return translate_body(data, asked, model, think_end)
