"""llama.cpp's own server."""

from __future__ import annotations

from typing import Any

from gateway.model_settings import Defaults
from gateway.protocol import sse
from gateway.protocol.request import Api, Asked, prepare
from gateway.protocol.stream import StreamTranslator
from gateway.protocol.usage import Usage
from gateway.protocol.vendor import VendorStream, vendor_whole
from gateway.upstream.dialects import Facts, Lookup, Splitter, only_chunks
from gateway.upstream.dialects.openai import named_as_deepseek

_PATHS: dict[Api, str] = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}

# `id_slot` reaches into another caller's cache, `lora` changes the model, the rest are vLLM's.
_DROPPED = ("id_slot", "cache_prompt", "lora", "return_token_ids", "repetition_penalty")


class LlamaCpp:
    """It knows OpenAI's fields, many of vLLM's samplers, and ignores what it doesn't know."""

    name = "llamacpp"
    health_path = "/health"
    rarely = 1
    tokenizes = False
    continues = False

    def __init__(self, *, opens_think: bool) -> None:
        self._opens_think = opens_think

    def base(self, url: str) -> str:
        """Without the /v1 of OpenAI's clients: health and properties are beside it."""
        return url.removesuffix("/v1")

    def well(self, status: int, data: bytes, served: str) -> bool:
        """200; it says 503 while it loads."""
        return status == 200

    def lookup(self, served: str) -> Lookup | None:
        """Its properties."""
        return Lookup("/props")

    def facts(self, answer: dict[str, Any]) -> Facts:
        """The context of one slot: that is what a request can have."""
        settings = answer.get("default_generation_settings")
        length = settings.get("n_ctx") if isinstance(settings, dict) else None
        return Facts(context_length=length if isinstance(length, int) else None)

    def path(self, api: Api) -> str:
        """OpenAI's paths."""
        return _PATHS[api]

    def body(self, asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
        """With the reasoning split by the server where it knows the template.

        Raises UpstreamUnfit.
        """
        only_chunks(asked)
        body = prepare(asked, model=served, temperature=defaults.temperature, top_p=defaults.top_p)
        penalty = body.get("repetition_penalty")
        for field in _DROPPED:
            body.pop(field, None)
        if penalty is not None:
            body["repeat_penalty"] = penalty
        if asked.max_tokens is not None:
            body["max_tokens"] = asked.max_tokens
        if asked.api == "chat":
            body["reasoning_format"] = "deepseek"
            body["messages"] = [named_as_deepseek(each) for each in body["messages"]]
        return body

    def splitter(self) -> Splitter:
        """Server-sent events."""
        return sse.EventScanner()

    def stream(self, asked: Asked, model: str, think_end: int | None) -> StreamTranslator:
        """Chunks without token ids."""
        return VendorStream(asked, model, opens_think=self._opens_think)

    def whole(
        self, data: bytes, asked: Asked, model: str, think_end: int | None
    ) -> tuple[bytes, Usage]:
        """A body without token ids."""
        return vendor_whole(data, asked, model, opens_think=self._opens_think)
