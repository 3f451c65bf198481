"""Anyone else with OpenAI's API: DeepSeek's own, other vendors, gateways."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from gateway.model_settings import Defaults
from gateway.protocol.request import Api, Asked
from gateway.upstream.dialects import Facts, Lookup
from gateway.upstream.dialects.vendor import Vendor

_PATHS: dict[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}

# Vendors answer 400 to a field they don't know, so only those of OpenAI and DeepSeek are sent. Left
# out of OpenAI's: what would keep the answer there (`store`) or change its price (`service_tier`).
_BOTH = {
    "model", "stream", "stream_options", "frequency_penalty", "presence_penalty", "logit_bias",
    "logprobs", "max_tokens", "n", "seed", "stop", "temperature", "top_p", "user",
}  # fmt: skip
_CHAT = {
    "messages", "max_completion_tokens", "top_logprobs", "response_format", "tools", "tool_choice",
    "parallel_tool_calls", "reasoning_effort", "functions", "function_call", "modalities", "audio",
    "prediction", "verbosity", "web_search_options", "safety_identifier", "prompt_cache_key",
    "thinking",
}  # fmt: skip
FIELDS: dict[Api, frozenset[str]] = {
    "chat": frozenset(_BOTH | _CHAT),
    "completions": frozenset(_BOTH | {"prompt", "best_of", "echo", "suffix"}),
}


class OpenAi(Vendor):
    """A stranger's server: it is told nothing but what the standard has."""

    name = "openai"
    health_path = "/models"
    rarely = 12

    def base(self, url: str) -> str:
        """What OpenAI's clients take as base URL; one without a path gets /v1."""
        return url if urlsplit(url).path else url + "/v1"

    def well(self, status: int, data: bytes, served: str) -> bool:
        """It is there and knows our key. Not all have a list of models."""
        return status < 500 and status not in (401, 402, 403)

    def lookup(self, served: str) -> Lookup | None:
        """Nothing: the standard tells no lengths."""
        return None

    def facts(self, answer: dict[str, Any]) -> Facts:
        """None."""
        return Facts()

    def path(self, api: Api) -> str:
        """OpenAI's paths."""
        return _PATHS[api]

    def body(self, asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
        """Without the fields that only vLLM knows. Raises UpstreamUnfit."""
        body = super().body(asked, served, defaults)
        return {name: value for name, value in body.items() if name in FIELDS[asked.api]}
