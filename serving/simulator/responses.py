"""OpenAI's responses, in the shapes of vllm/entrypoints/openai/responses of vLLM 0.29.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serving.simulator.forms import Form, Maker, Named, named, split
from serving.simulator.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.simulator.answers import Answer


class _ResponseEvents(Named):
    def __init__(self, asked: Asked, answer: Answer, per_event: int) -> None:
        super().__init__(asked, answer, per_event)
        self._number = 0

    def _event(self, kind: str, **data: Any) -> bytes:
        self._number += 1
        asked = {"type": kind, "sequence_number": self._number - 1, **data}
        return named(asked)

    def opening(self) -> bytes:
        response = _response(self.asked, "in_progress", [], None)
        created = self._event("response.created", response=response)
        return created + self._event("response.in_progress", response=response)

    def open(self, block: int, kind: str) -> list[bytes]:
        item = {**_item(self.asked, block, kind, ""), "status": "in_progress", "content": []}
        made = [self._event("response.output_item.added", output_index=block, item=item)]
        if kind != "tool":
            name = "reasoning" if kind == "reasoning" else "content"
            made.append(self._event(f"response.{name}_part.added", **self._part(block, kind, "")))
        return made

    def delta(self, block: int, kind: str, text: str) -> list[bytes]:
        name = {"reasoning": "reasoning_text", "content": "output_text"}
        kind = name.get(kind, "function_call_arguments")
        place = {"item_id": f"item_{block}", "output_index": block}
        if kind != "function_call_arguments":
            place["content_index"] = 0
        return [self._event(f"response.{kind}.delta", **place, delta=text)]

    def close(self, block: int, kind: str, text: str) -> list[bytes]:
        place = {"item_id": f"item_{block}", "output_index": block}
        item = _item(self.asked, block, kind, text)
        done = self._event("response.output_item.done", output_index=block, item=item)
        if kind == "tool":
            name = "response.function_call_arguments.done"
            return [self._event(name, **place, name=self.asked.tool, arguments=text), done]
        said = "reasoning_text" if kind == "reasoning" else "output_text"
        part = "reasoning" if kind == "reasoning" else "content"
        return [
            self._event(f"response.{said}.done", **place, content_index=0, text=text),
            self._event(f"response.{part}_part.done", **self._part(block, kind, text)),
            done,
        ]

    @staticmethod
    def _part(block: int, kind: str, text: str) -> dict[str, Any]:
        place = {"item_id": f"item_{block}", "output_index": block, "content_index": 0}
        return {**place, "part": _part(kind, text)}


class _Responses:
    chat = True

    def asks(self, body: dict[str, Any]) -> dict[str, Any]:
        told = body.get("instructions")
        messages = [{"role": "system", "content": told}] if told else []
        given = body["input"]
        messages += [{"role": "user", "content": given}] if isinstance(given, str) else given
        asks = {**body, "messages": messages, "max_tokens": body.get("max_output_tokens")}
        return {**asks, "n": 1}

    def events(self, asked: Asked, choice: int, answer: Answer, per_event: int) -> Maker:
        return _ResponseEvents(asked, answer, per_event)

    def closing(self, asked: Asked, answers: Sequence[Answer], cached: int) -> list[bytes]:
        response = self.whole(asked, answers, cached)
        # Its number is not known here; it is only read by those who count events.
        event = {"type": "response.completed", "sequence_number": 1 << 20, "response": response}
        return [named(event)]

    def ends(self, event: bytes) -> bool:
        return event.startswith(b"event: response.completed")

    def whole(self, asked: Asked, answers: Sequence[Answer], cached: int) -> dict[str, Any]:
        answer = answers[0]
        reasoning, content = split(asked, answer)
        said = (("reasoning", reasoning), ("content" if asked.tool is None else "tool", content))
        output = [
            _item(asked, place, kind, text) for place, (kind, text) in enumerate(said) if text
        ]
        status = "incomplete" if answer.finish == "length" else "completed"
        tokens = len(answer.ids)
        usage = {
            "input_tokens": len(asked.prompt),
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": tokens,
            "output_tokens_details": {"reasoning_tokens": 0, "tool_output_tokens": 0},
            "total_tokens": len(asked.prompt) + tokens,
        }
        return _response(asked, status, output, usage)


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == "reasoning":
        return {"text": text, "type": "reasoning_text"}
    return {"annotations": [], "text": text, "type": "output_text", "logprobs": None}


def _item(asked: Asked, place: int, kind: str, text: str) -> dict[str, Any]:
    head = {"id": f"item_{place}", "status": "completed"}
    if kind == "tool":
        call = {"type": "function_call", "call_id": "call-0", "name": asked.tool}
        return {**head, **call, "arguments": text}
    if kind == "reasoning":
        return {**head, "type": "reasoning", "summary": [], "content": [_part(kind, text)]}
    return {**head, "type": "message", "role": "assistant", "content": [_part(kind, text)]}


def _response(
    asked: Asked, status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None
) -> dict[str, Any]:
    incomplete = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": f"resp_{asked.id}",
        "created_at": asked.created,
        "incomplete_details": incomplete,
        "instructions": None,
        "metadata": None,
        "model": asked.model,
        "object": "response",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 0.6,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 0.95,
        "background": False,
        "max_output_tokens": 1024,
        "service_tier": "auto",
        "status": status,
        "truncation": "disabled",
        "usage": usage,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "input_messages": None,
        "output_messages": None,
    }


RESPONSES: Form = _Responses()
