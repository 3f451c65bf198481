"""Answers of Ollama's own API, as OpenAI's chunks and bodies. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from gateway.errors import UpstreamFailed
from gateway.protocol.request import Asked
from gateway.protocol.stream import Piece
from gateway.protocol.usage import Usage
from gateway.protocol.vendor import VendorStream, vendor_body
from gateway.protocol.wire import read_object


class OllamaStream:
    """The lines of one stream."""

    def __init__(self, asked: Asked, model: str, *, opens_think: bool) -> None:
        self._inner = VendorStream(asked, model, opens_think=opens_think)
        self._asked = asked
        self._frame: dict[str, Any] | None = None
        self._called = False
        self.usage: Usage = self._inner.usage

    def event(self, data: bytes) -> Piece:
        """One line as the bytes to send; the last one is the stream's end too."""
        line = _read(data)
        begins = self._frame is None
        if self._frame is None:
            self._frame = _frame(line, self._asked)
        choice = _choice(line, self._asked, "delta")
        if "delta" in choice:
            self._called = self._called or "tool_calls" in choice["delta"]
            if begins:
                choice["delta"]["role"] = "assistant"
        if not line.get("done"):
            return self._inner.chunk({**self._frame, "choices": [choice]})
        choice["finish_reason"] = _finish(line, called=self._called)
        last = self._inner.chunk({**self._frame, "choices": [choice], "usage": _usage(line)})
        return Piece(last.data + self._inner.end().data, last.tokens, last.content, end=True)

    def stop(self, why: str) -> bytes:
        """The events that end the answer here."""
        return self._inner.stop(why)

    @property
    def finished(self) -> bool:
        """True when the last line came."""
        return self._inner.finished


def whole(data: bytes, asked: Asked, model: str, *, opens_think: bool) -> tuple[bytes, Usage]:
    """A whole (not streamed) answer. Raises UpstreamFailed if it isn't one."""
    line = _read(data)
    if not line.get("done"):
        # Ollama stops a model that repeats itself in this way, with status 200.
        raise UpstreamFailed("The model server broke off its answer.")
    choice = _choice(line, asked, "message")
    called = "tool_calls" in choice.get("message", {})
    choice["finish_reason"] = _finish(line, called=called)
    frame = _frame(line, asked)
    frame["object"] = frame["object"].removesuffix(".chunk")
    body = {**frame, "choices": [choice], "usage": _usage(line)}
    return vendor_body(body, asked, model, opens_think=opens_think)


def _call_from(index: int, call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    return {
        "index": function.get("index", index),
        "id": call.get("id") or f"call_{index}",
        "type": "function",
        "function": {
            "name": function.get("name"),
            "arguments": orjson.dumps(function.get("arguments") or {}).decode(),
        },
    }


def _read(data: bytes) -> dict[str, Any]:
    line = read_object(data)
    if line.get("error"):
        raise UpstreamFailed("The model server failed while it worked on the answer.")
    if not isinstance(line.get("message"), dict) and not isinstance(line.get("response"), str):
        raise UpstreamFailed("The model server sent no message.", code="upstream_invalid")
    return line


def _frame(line: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """What all events of an answer have in common. Ollama gives no id: its clock makes one."""
    stamp = str(line.get("created_at") or "")
    chat = asked.api == "chat"
    try:
        created = int(datetime.fromisoformat(stamp).timestamp())
    except ValueError:
        created = 0
    digits = "".join(each for each in stamp if each.isdigit())
    return {
        "id": ("chatcmpl-" if chat else "cmpl-") + digits,
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": created,
    }


def _choice(line: dict[str, Any], asked: Asked, place: str) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": None}
    if line.get("logprobs"):
        choice["logprobs"] = {"content": line["logprobs"]}
    if asked.api == "completions":
        return {**choice, "text": line.get("response") or "", "logprobs": None}
    message = line.get("message") or {}
    said: dict[str, Any] = {}
    if place == "message":
        said = {"role": "assistant", "content": None}
    if message.get("content"):
        said["content"] = message["content"]
    if message.get("thinking"):
        said["reasoning_content"] = message["thinking"]
    if message.get("tool_calls"):
        said["tool_calls"] = [_call_from(i, each) for i, each in enumerate(message["tool_calls"])]
    return {**choice, place: said}


def _finish(line: dict[str, Any], *, called: bool) -> str:
    if line.get("done_reason") == "length":
        return "length"
    return "tool_calls" if called else "stop"


def _usage(line: dict[str, Any]) -> dict[str, Any]:
    prompt, answer = line.get("prompt_eval_count") or 0, line.get("eval_count") or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }
