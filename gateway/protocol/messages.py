"""Anthropic's messages: what the gateway reads in vLLM's answers and changes in them. Pure.

Changed are the model's name and engine fields. This API has no field for reasoning tokens; for
limits and metrics they are estimated by the thinking's share of the answer's text.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import UpstreamFailed, UpstreamRejected
from gateway.protocol import sse
from gateway.protocol.repetition import REPETITION
from gateway.protocol.request import Asked
from gateway.protocol.stream import Piece
from gateway.protocol.usage import Usage, estimated_reasoning, token_count
from gateway.protocol.wire import drop, read_object

_ENGINE_FIELDS = ("kv_transfer_params", "ec_transfer_params")
_TEXTS = ("thinking", "text", "partial_json")
_ENDING = "ending"
"""Why an answer is not as its model would have ended it; here `stop_reason` is the API's own."""
_REFUSALS = ("invalid_request_error", "BadRequestError")


def read_message(data: bytes, asked: Asked, model: str) -> tuple[bytes, Usage]:
    """A whole message. Raises UpstreamFailed if it isn't one."""
    body = read_object(data)
    content = body.get("content")
    if not isinstance(content, list):
        raise UpstreamFailed("The model server's answer has no content.", code="upstream_invalid")
    body["model"] = model
    drop(body, _ENGINE_FIELDS)
    usage = Usage()
    _read_usage(usage, body.get("usage"))
    thinking = sum(len(block.get("thinking") or "") for block in content)
    other = sum(len(block.get("text") or "") for block in content)
    other += sum(len(str(block["input"])) for block in content if block.get("input"))
    usage.reasoning = estimated_reasoning(usage.completion, thinking, thinking + other)
    if asked.heard is not None:
        asked.heard.said((), *(block.get("thinking") or block.get("text") for block in content))
        if asked.heard.loops:
            body[_ENDING] = REPETITION
    return orjson.dumps(body), usage


def read_token_count(data: bytes) -> tuple[bytes, Usage]:
    """A count of a prompt's tokens, which costs none. Raises UpstreamFailed if it isn't one."""
    body = read_object(data)
    if not isinstance(body.get("input_tokens"), int):
        raise UpstreamFailed("The model server's answer has no count.", code="upstream_invalid")
    return data, Usage()


class MessagesStream:
    """The events of a streamed message."""

    def __init__(self, asked: Asked, model: str) -> None:
        self._asked = asked
        self._model = model
        self._block: int | None = None  # the one that is open
        self._thinking = 0
        self._other = 0
        self.usage = Usage()
        self.finished = False

    def event(self, data: bytes) -> Piece:
        """One event. Raises UpstreamFailed or UpstreamRejected."""
        event = read_object(data)
        kind = event.get("type")
        if "error" in event or kind == "error":
            raise _fault(event.get("error"))
        if not isinstance(kind, str):
            raise UpstreamFailed(
                "The model server sent an event without a type.", code="upstream_invalid"
            )
        if kind == "content_block_delta":
            return self._delta(event, data)
        if kind == "content_block_start":
            self._block = event.get("index")
        elif kind == "content_block_stop":
            self._block = None
        if kind == "message_stop":
            self.finished = True
            return Piece(sse.named_event(kind, data), end=True)
        message = event.get("message")
        if isinstance(message, dict):
            message["model"] = self._model
            drop(message, _ENGINE_FIELDS)
            _read_usage(self.usage, message.get("usage"))
            return Piece(sse.named_event(kind, orjson.dumps(event)))
        if kind == "message_delta":
            _read_usage(self.usage, event.get("usage"))
            self.usage.reasoning = estimated_reasoning(
                self.usage.completion, self._thinking, self._thinking + self._other
            )
        return Piece(sse.named_event(kind, data))

    def stop(self, why: str) -> bytes:
        """The events that end the answer here."""
        self.finished = True
        events: list[dict[str, Any]] = []
        if self._block is not None:
            events.append({"type": "content_block_stop", "index": self._block})
        delta = {"stop_reason": "end_turn", "stop_sequence": None, _ENDING: why}
        usage = {
            "input_tokens": self.usage.prompt - self.usage.cached,
            "output_tokens": self.usage.completion,
        }
        events.append({"type": "message_delta", "delta": delta, "usage": usage})
        events.append({"type": "message_stop"})
        return b"".join(sse.named_event(each["type"], orjson.dumps(each)) for each in events)

    def _delta(self, event: dict[str, Any], data: bytes) -> Piece:
        delta = event.get("delta") or {}
        if self._asked.heard is not None:
            self._asked.heard.said((), *(delta.get(name) for name in _TEXTS))
        thinking = len(delta.get("thinking") or "")
        other = len(delta.get("text") or delta.get("partial_json") or "")
        self._thinking += thinking
        self._other += other
        tokens = 1 if thinking or other else 0
        # Until the usage comes, at the end, each delta counts as a token.
        self.usage.completion += tokens
        self.usage.reasoning += tokens if thinking else 0
        return Piece(sse.named_event("content_block_delta", data), tokens, bool(other))


def _read_usage(usage: Usage, reported: Any) -> None:
    """Anthropic's prompt count leaves out what the cache had; ours does not."""
    if not isinstance(reported, dict):
        return
    usage.cached = token_count(reported.get("cache_read_input_tokens"))
    created = token_count(reported.get("cache_creation_input_tokens"))
    usage.prompt = token_count(reported.get("input_tokens")) + usage.cached + created
    usage.completion = token_count(reported.get("output_tokens"))


def _fault(fault: Any) -> UpstreamFailed | UpstreamRejected:
    """The error that an error event tells of; only a refusal's text is the caller's to read."""
    if isinstance(fault, dict) and fault.get("type") in _REFUSALS:
        return UpstreamRejected(str(fault.get("message") or "The model server refused."))
    return UpstreamFailed("The model server failed while it worked on the answer.")
