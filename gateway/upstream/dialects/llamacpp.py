"""llama.cpp's own server."""

from __future__ import annotations

from typing import Any

from gateway.model_settings import Defaults
from gateway.protocol.request import Api, Asked
from gateway.upstream.dialects import Facts, Lookup
from gateway.upstream.dialects.vendor import Vendor

_PATHS: dict[Api, str] = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}

# `id_slot` reaches into another caller's cache, `lora` changes the model, the rest are vLLM's.
_DROPPED = ("id_slot", "cache_prompt", "lora", "return_token_ids", "repetition_penalty")


class LlamaCpp(Vendor):
    """It knows OpenAI's fields, many of vLLM's samplers, and ignores what it doesn't know."""

    name = "llamacpp"
    health_path = "/health"
    rarely = 1

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
        body = super().body(asked, served, defaults)
        penalty = body.get("repetition_penalty")
        for field in _DROPPED:
            body.pop(field, None)
        if penalty is not None:
            body["repeat_penalty"] = penalty
        if asked.max_tokens is not None:
            body["max_tokens"] = asked.max_tokens
        if asked.api == "chat":
            body["reasoning_format"] = "deepseek"
        return body
