"""Ollama, by its own API."""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway.model_settings import Defaults
from gateway.protocol import ollama_answer, ollama_request
from gateway.protocol.ndjson import LineScanner
from gateway.protocol.request import Api, Asked
from gateway.protocol.stream import StreamTranslator
from gateway.protocol.usage import Usage
from gateway.upstream.dialects import Facts, Lookup, Splitter, only_chunks

_PATHS: dict[Api, str] = {"chat": "/api/chat", "completions": "/api/generate"}
_NUM_CTX = re.compile(r"^num_ctx\s+(\d+)\s*$", re.MULTILINE)
LATEST = ":latest"


class Ollama:
    """It serves many models, made and removed while it runs: `/api/tags` lists them."""

    name = "ollama"
    health_path = "/api/tags"
    rarely = 1
    tokenizes = False
    continues = False

    def __init__(self, *, opens_think: bool) -> None:
        self._opens_think = opens_think

    def base(self, url: str) -> str:
        """Without the /v1 of OpenAI's clients: its own API is beside it."""
        return url.removesuffix("/v1")

    def well(self, status: int, data: bytes, served: str) -> bool:
        """It lists the model."""
        return status == 200 and tagged(served) in models(data)

    def lookup(self, served: str) -> Lookup | None:
        """All about one model."""
        return Lookup("/api/show", {"model": served})

    def facts(self, answer: dict[str, Any]) -> Facts:
        """The context that its Modelfile sets: what the weights could do isn't what it runs."""
        found = _NUM_CTX.search(str(answer.get("parameters") or ""))
        return Facts(context_length=int(found.group(1)) if found else None)

    def path(self, api: Api) -> str:
        """Its own paths."""
        return _PATHS[api]

    def body(self, asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
        """In Ollama's terms. Raises UpstreamUnfit."""
        only_chunks(asked)
        if asked.api == "chat":
            return ollama_request.chat_request(asked, served, defaults)
        return ollama_request.completion_request(asked, served, defaults)

    def splitter(self) -> Splitter:
        """Lines of JSON."""
        return LineScanner()

    def stream(self, asked: Asked, model: str, think_end: int | None) -> StreamTranslator:
        """Lines of `/api/chat` or `/api/generate`."""
        return ollama_answer.OllamaStream(asked, model, opens_think=self._opens_think)

    def whole(
        self, data: bytes, asked: Asked, model: str, think_end: int | None
    ) -> tuple[bytes, Usage]:
        """One object of the same form."""
        return ollama_answer.whole(data, asked, model, opens_think=self._opens_think)


def tagged(name: str) -> str:
    """A model's name with its tag, as `/api/tags` writes it."""
    return name if ":" in name.rpartition("/")[2] else name + LATEST


def models(data: bytes) -> dict[str, str]:
    """The models that `/api/tags` lists, each with its digest; none if it isn't such a list."""
    try:
        listed = orjson.loads(data)["models"]
        return {str(each["name"]): str(each.get("digest")) for each in listed}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return {}
