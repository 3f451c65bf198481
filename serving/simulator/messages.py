"""Anthropic's messages, in the shapes of vllm/entrypoints/anthropic of vLLM 0.29.0."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from serving.simulator.forms import Form, Maker, Named, named, split
from serving.simulator.wire import Asked, finish_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.simulator.answers import Answer


class _MessageEvents(Named):
    def opening(self) -> bytes:
        message = {**_message_head(self.asked), "content": [], "stop_reason": None}
        # What the cache had is not told yet.
        usage = {"input_tokens": len(self.asked.prompt), "output_tokens": 0}
        message |= {"stop_sequence": None, "usage": usage}
        return named({"type": "message_start", "message": message})

    def open(self, block: int, kind: str) -> list[bytes]:
        content: dict[str, Any] = {"type": "text", "text": ""}
        if kind == "reasoning":
            content = {"type": "thinking", "thinking": ""}
        elif kind == "tool":
            content = {"type": "tool_use", "id": "call-0", "name": self.asked.tool, "input": {}}
        return [named({"type": "content_block_start", "content_block": content, "index": block})]

    def delta(self, block: int, kind: str, text: str) -> list[bytes]:
        field, name = {
            "reasoning": ("thinking", "thinking_delta"),
            "content": ("text", "text_delta"),
            "tool": ("partial_json", "input_json_delta"),
        }[kind]
        delta = {"type": name, field: text}
        return [named({"type": "content_block_delta", "delta": delta, "index": block})]

    def close(self, block: int, kind: str, text: str) -> list[bytes]:
        ends = [named({"type": "content_block_stop", "index": block})]
        if kind == "reasoning":
            signed = {"type": "signature_delta", "signature": "0" * 32}
            signature = {"type": "content_block_delta", "delta": signed, "index": block}
            ends.insert(0, named(signature))
        return ends


class _Messages:
    chat = True

    def asks(self, body: dict[str, Any]) -> dict[str, Any]:
        messages = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        messages += body["messages"]
        usage = {"include_usage": True}
        asks = {**body, "messages": messages, "stop": body.get("stop_sequences")}
        return {**asks, "stream_options": usage, "n": 1}

    def events(self, asked: Asked, choice: int, answer: Answer, per_event: int) -> Maker:
        return _MessageEvents(asked, answer, per_event)

    def closing(self, asked: Asked, answers: Sequence[Answer], cached: int) -> list[bytes]:
        ended = _stop(asked, answers[0])
        usage = _message_usage(asked, len(answers[0].ids), cached)
        delta = named({"type": "message_delta", "delta": ended, "usage": usage})
        return [delta, named({"type": "message_stop"})]

    def ends(self, event: bytes) -> bool:
        return event.startswith(b"event: message_stop")

    def whole(self, asked: Asked, answers: Sequence[Answer], cached: int) -> dict[str, Any]:
        reasoning, content = split(asked, answers[0])
        blocks: list[dict[str, Any]] = []
        if reasoning:
            blocks.append({"type": "thinking", "thinking": reasoning, "signature": "0" * 32})
        if asked.tool is not None:
            call = {"type": "tool_use", "id": "call-0", "name": asked.tool}
            blocks.append({**call, "input": json.loads(content)})
        elif content or not blocks:
            blocks.append({"type": "text", "text": content})
        usage = _message_usage(asked, len(answers[0].ids), cached)
        ended = {name: told for name, told in _stop(asked, answers[0]).items() if told}
        return {**_message_head(asked), "content": blocks, **ended, "usage": usage}


def _message_head(asked: Asked) -> dict[str, Any]:
    return {"id": asked.id, "type": "message", "role": "assistant", "model": asked.model}


def _message_usage(asked: Asked, completion: int, cached: int) -> dict[str, int]:
    """Anthropic's: what the cache had is no part of the input tokens."""
    usage = {"input_tokens": len(asked.prompt) - cached, "output_tokens": completion}
    return {**usage, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}


def _stop(asked: Asked, answer: Answer) -> dict[str, Any]:
    reason = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
    if answer.stop is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": answer.stop}
    return {"stop_reason": reason[finish_of(asked, answer)], "stop_sequence": None}


MESSAGES: Form = _Messages()
