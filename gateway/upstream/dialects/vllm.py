"""vLLM's own server, also behind Ray Serve."""

from __future__ import annotations

from typing import Any

from gateway.model_settings import Defaults
from gateway.protocol import sse
from gateway.protocol.answer import translate_body
from gateway.protocol.chat_stream import ChatStream
from gateway.protocol.messages import MessagesStream, read_message, read_token_count
from gateway.protocol.request import Api, Asked, prepare
from gateway.protocol.responses import ResponsesStream, read_response
from gateway.protocol.stream import ContinuableStream, StreamTranslator
from gateway.protocol.text_stream import CompletionStream
from gateway.protocol.usage import Usage
from gateway.upstream.dialects import Facts, Lookup, Splitter

_PATHS: dict[Api, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
}


def stream_translator(asked: Asked, model: str, think_end: int | None) -> ContinuableStream:
    """For the stream of a chat or a text completion."""
    if asked.api == "chat":
        return ChatStream(asked, model, think_end)
    return CompletionStream(asked, model)


class Vllm:
    """The dialect that knows token ids."""

    name = "vllm"
    health_path = "/health"
    rarely = 1
    tokenizes = True
    continues = True

    def base(self, url: str) -> str:
        """As it was given."""
        return url

    def well(self, status: int, data: bytes, served: str) -> bool:
        """200 and nothing else."""
        return status == 200

    def lookup(self, served: str) -> Lookup | None:
        """How `</think>` is tokenized; the model's length comes with it."""
        body = {"model": served, "prompt": "</think>", "add_special_tokens": False}
        return Lookup("/tokenize", body)

    def facts(self, answer: dict[str, Any]) -> Facts:
        """Of /tokenize."""
        length, tokens = answer.get("max_model_len"), answer.get("tokens")
        return Facts(
            context_length=length if isinstance(length, int) else None,
            think_end=tokens[0] if isinstance(tokens, list) and len(tokens) == 1 else None,
        )

    def path(self, api: Api) -> str:
        """OpenAI's paths, and Anthropic's."""
        return _PATHS[api]

    def body(self, asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
        """With token ids and usage asked for, which the gateway counts with."""
        body = prepare(asked, model=served, temperature=defaults.temperature, top_p=defaults.top_p)
        # Said in the template's words already.
        body.pop("thinking", None)
        budget = body.pop("max_reasoning_tokens", None)
        if budget is not None:
            body["thinking_token_budget"] = budget
        return body

    def splitter(self) -> Splitter:
        """Server-sent events."""
        return sse.EventScanner()

    def stream(self, asked: Asked, model: str, think_end: int | None) -> StreamTranslator:
        """Chunks and events as vLLM streams them."""
        if asked.api == "responses":
            return ResponsesStream(asked, model)
        if asked.api == "messages":
            return MessagesStream(asked, model)
        return stream_translator(asked, model, think_end)

    def whole(
        self, data: bytes, asked: Asked, model: str, think_end: int | None
    ) -> tuple[bytes, Usage]:
        """A body as vLLM gives it."""
        if asked.api == "responses":
            return read_response(data, asked, model)
        if asked.api == "messages":
            return read_message(data, asked, model)
        if asked.api == "count_tokens":
            return read_token_count(data)
        return translate_body(data, asked, model, think_end)
