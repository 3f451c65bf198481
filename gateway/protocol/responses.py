"""OpenAI's responses: what the gateway reads in vLLM's answers and changes in them. Pure.

Changed are the model's name, engine fields, and the count of reasoning tokens, which vLLM gives as
0 for R1 (its template opens the think block in the prompt). Token ids aren't told here, so that
count is estimated by the reasoning's share of the answer's text.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import UpstreamFailed
from gateway.protocol import sse
from gateway.protocol.open_response import OpenResponse
from gateway.protocol.repetition import mark
from gateway.protocol.request import Asked
from gateway.protocol.stream import Piece
from gateway.protocol.usage import Usage, estimated_reasoning, token_count
from gateway.protocol.wire import drop, error_from, read_object

_ENGINE_FIELDS = (
    "kv_transfer_params",
    "ec_transfer_params",
    "input_messages",
    "output_messages",
)
_LAST = ("response.completed", "response.incomplete")


def read_response(data: bytes, asked: Asked, model: str) -> tuple[bytes, Usage]:
    """A whole response. Raises UpstreamFailed if it isn't one."""
    body = read_object(data)
    usage = _translate(body, model)
    if body.get("status") == "failed":
        raise UpstreamFailed("The model server failed while it worked on the answer.")
    if asked.heard is not None:
        asked.heard.said((), *(text for item in body["output"] for text in _texts(item)))
        if asked.heard.loops:
            mark(body)
    return orjson.dumps(body), usage


class ResponsesStream:
    """The events of a streamed response."""

    def __init__(self, asked: Asked, model: str) -> None:
        self._asked = asked
        self._model = model
        self._open = None if asked.heard is None else OpenResponse()
        self.usage = Usage()
        self.finished = False

    def event(self, data: bytes) -> Piece:
        """One event. Raises UpstreamFailed or UpstreamRejected."""
        if data == sse.DONE_DATA:
            return Piece(b"", end=True)
        event = read_object(data)
        kind = event.get("type")
        if "error" in event or kind in ("error", "response.failed"):
            raise error_from(event.get("error"))
        if not isinstance(kind, str):
            raise UpstreamFailed(
                "The model server sent an event without a type.", code="upstream_invalid"
            )
        number = event.get("sequence_number")
        if isinstance(number, int):
            self._asked.sequence = number + 1
        if self._open is not None:
            self._open.saw(event)
        if kind.endswith(".delta"):
            if self._asked.heard is not None:
                self._asked.heard.said((), event.get("delta"))
            # Until the usage comes, at the end, each delta counts as a token.
            reasoning = kind == "response.reasoning_text.delta"
            self.usage.completion += 1
            self.usage.reasoning += reasoning
            return Piece(sse.named_event(kind, data), 1, not reasoning)
        response = event.get("response")
        if not isinstance(response, dict):
            return Piece(sse.named_event(kind, data))
        if kind in _LAST:
            self.usage = _translate(response, self._model, into=self.usage)
            self.finished = True
            return Piece(sse.named_event(kind, orjson.dumps(event)), end=True)
        _name(response, self._model)
        return Piece(sse.named_event(kind, orjson.dumps(event)))

    def stop(self, why: str) -> bytes:
        """The events that end the answer here."""
        self.finished = True
        return b"" if self._open is None else self._open.end(why, self._asked.sequence)


def _name(response: dict[str, Any], model: str) -> None:
    response["model"] = model
    drop(response, _ENGINE_FIELDS)


def _translate(response: dict[str, Any], model: str, into: Usage | None = None) -> Usage:
    """Change a finished response in place; its usage."""
    output = response.get("output")
    if not isinstance(output, list):
        raise UpstreamFailed("The model server's answer has no output.", code="upstream_invalid")
    _name(response, model)
    usage = Usage() if into is None else into
    reported = response.get("usage")
    if not isinstance(reported, dict):
        return usage
    usage.prompt = token_count(reported.get("input_tokens"))
    usage.completion = token_count(reported.get("output_tokens"))
    usage.cached = token_count((reported.get("input_tokens_details") or {}).get("cached_tokens"))
    details = reported.get("output_tokens_details")
    if not isinstance(details, dict):
        details = reported["output_tokens_details"] = {}
    told = token_count(details.get("reasoning_tokens"))
    usage.reasoning = told or _estimate(usage.completion, output)
    details["reasoning_tokens"] = usage.reasoning
    return usage


def _texts(item: dict[str, Any]) -> list[str]:
    """All that an item of the output says."""
    parts = item.get("content") or ()
    return [item.get("arguments") or "", *(part.get("text") or "" for part in parts)]


def _estimate(completion: int, output: list[Any]) -> int:
    reasoning = everything = 0
    for item in output:
        size = sum(map(len, _texts(item)))
        everything += size
        if item.get("type") == "reasoning":
            reasoning += size
    return estimated_reasoning(completion, reasoning, everything)
