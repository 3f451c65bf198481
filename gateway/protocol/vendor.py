"""Answers in OpenAI's form from others than vLLM, turned into those that the gateway gives. Pure.

They have no token ids, so what is known of tokens is what the server says: its usage is passed on
as it is, and reasoning tokens it does not tell are left out. The reasoning may come as
`reasoning_content`, as `reasoning`, or in the text between the marks of `gateway.protocol.think`.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import UpstreamFailed
from gateway.protocol import sse
from gateway.protocol.repetition import mark
from gateway.protocol.request import Asked
from gateway.protocol.stream import Piece
from gateway.protocol.text_stream import choices_of
from gateway.protocol.think import ThinkSplitter
from gateway.protocol.usage import Usage
from gateway.protocol.wire import drop, read_chunk, read_object

_OWN_FIELDS = ("timings", "__verbose", "prompt_progress", "generation_settings")
"""Fields of llama.cpp's answers that are not the caller's business."""


class VendorStream:
    """The events of one stream, chat or completion."""

    def __init__(self, asked: Asked, model: str, *, opens_think: bool) -> None:
        self._asked = asked
        self._model = model
        self._opens_think = opens_think
        self._splitters: dict[int, ThinkSplitter | None] = {}
        self._finished: set[int] = set()
        self._choices = choices_of(asked)
        self._last: dict[str, Any] = {}
        self._reported: dict[str, Any] | None = None
        self.usage = Usage()

    def event(self, data: bytes) -> Piece:
        """One event as the bytes to send."""
        return self.end() if data == sse.DONE_DATA else self.chunk(read_chunk(data))

    def chunk(self, chunk: dict[str, Any]) -> Piece:
        """One event that was read already. Takes it over."""
        reported = chunk.pop("usage", None)
        if isinstance(reported, dict):
            self._reported = reported
            self.usage.take(reported)
        drop(chunk, _OWN_FIELDS)
        chunk["model"] = self._model
        self._last = chunk
        thought = content = False
        out: list[dict[str, Any]] = []
        for choice in chunk["choices"]:
            if choice.get("finish_reason") is not None:
                self._finished.add(choice.get("index", 0))
            if self._asked.api == "completions":
                shown = [choice]
                if self._asked.heard is not None:
                    self._asked.heard.said((), choice.get("text"))
                content = bool(choice.get("text")) or content
            else:
                reasoning, shown = self._shape(choice)
                content = any(_says(each["delta"]) for each in shown) or content
                thought = reasoning or thought
            out.extend(shown)
        tokens = 1 if thought or content else 0
        if self._reported is None:
            # For our own books, should the stream break off; the server's own count follows.
            self.usage.completion += tokens
        return Piece(
            b"".join(sse.event(orjson.dumps({**chunk, "choices": [each]})) for each in out),
            tokens,
            content,
        )

    def end(self) -> Piece:
        """The stream's own end: the usage, where it was asked for."""
        data = b""
        if self._asked.usage and self._reported is not None:
            data = sse.event(orjson.dumps({**self._last, "choices": [], "usage": self._reported}))
        return Piece(data, end=True)

    def stop(self, why: str) -> bytes:
        """The events that end the answer here; its usage is known only if it was told before."""
        said: dict[str, Any] = {"delta": {}} if self._asked.api == "chat" else {"text": ""}
        choice = {"index": 0, **said, "finish_reason": "stop", "stop_reason": why}
        return self.chunk({**self._last, "choices": [choice]}).data + self.end().data

    @property
    def finished(self) -> bool:
        """True when every choice has a finish reason."""
        return len(self._finished) >= self._choices

    def _shape(self, choice: dict[str, Any]) -> tuple[bool, list[dict[str, Any]]]:
        """Whether there is reasoning, and the choice in DeepSeek's form: none, one or two."""
        delta = choice.pop("delta", None) or {}
        ended = choice.get("finish_reason") is not None
        reasoning, content = self._split(
            choice.get("index", 0), take_reasoning(delta), delta.pop("content", None), ended=ended
        )
        if self._asked.heard is not None:
            self._asked.heard.said((), reasoning, content)
        thought = bool(reasoning)
        if thought and not self._asked.reasoning:
            # The log-probabilities would tell the text that isn't wanted.
            reasoning, choice["logprobs"] = None, None
        deltas: list[dict[str, Any]] = []
        if reasoning:
            deltas.append({"content": None, "reasoning_content": reasoning})
        calls = bool(delta.get("tool_calls"))
        if content or calls or (not deltas and (delta or ended)):
            said = content or (None if calls else "")
            deltas.append({"content": said, "reasoning_content": None})
        if not deltas:
            return thought, []
        if "role" in delta:
            deltas[0]["role"] = delta.pop("role")
        deltas[-1].update(delta)
        shown = [{**choice, "delta": each} for each in deltas]
        if len(shown) == 2:
            shown[0]["finish_reason"] = None
            if "logprobs" in choice:
                shown[1]["logprobs"] = None
        return thought, shown

    def _split(
        self, index: int, reasoning: str | None, content: str | None, *, ended: bool
    ) -> tuple[str | None, str | None]:
        if reasoning:
            # It splits by itself: marks in its text are text.
            self._splitters[index] = None
        if index not in self._splitters:
            self._splitters[index] = ThinkSplitter(opened=self._opens_think)
        splitter = self._splitters[index]
        if splitter is None:
            return reasoning, content
        thought, said = splitter.feed(content or "")
        if ended:
            more_thought, more_said = splitter.end()
            thought, said = thought + more_thought, said + more_said
        return thought or None, said or None


def vendor_body(
    body: dict[str, Any], asked: Asked, model: str, *, opens_think: bool
) -> tuple[bytes, Usage]:
    """A whole (not streamed) answer. Raises UpstreamFailed if it isn't one."""
    if not isinstance(body.get("choices"), list):
        raise UpstreamFailed("The model server's answer has no choices.", code="upstream_invalid")
    body["model"] = model
    drop(body, _OWN_FIELDS)
    usage = Usage()
    if isinstance(body.get("usage"), dict):
        usage.take(body["usage"])
    for choice in body["choices"]:
        message = choice.get("message")
        if not isinstance(message, dict):
            if asked.heard is not None:
                asked.heard.said((), choice.get("text"))
            continue
        reasoning, content = take_reasoning(message), message.get("content")
        if not reasoning and content:
            splitter = ThinkSplitter(opened=opens_think)
            parts = zip(splitter.feed(content), splitter.end(), strict=True)
            reasoning, content = ("".join(part) or None for part in parts)
        if asked.heard is not None:
            asked.heard.said((), reasoning, content)
        message["content"] = content if content or reasoning else message.get("content")
        message["reasoning_content"] = reasoning if asked.reasoning else None
        if reasoning and not asked.reasoning and "logprobs" in choice:
            choice["logprobs"] = None
    if asked.heard is not None and asked.heard.loops:
        mark(body["choices"][0])
    return orjson.dumps(body), usage


def vendor_whole(
    data: bytes, asked: Asked, model: str, *, opens_think: bool
) -> tuple[bytes, Usage]:
    """`vendor_body` of the bytes as they came."""
    return vendor_body(read_object(data), asked, model, opens_think=opens_think)


def take_reasoning(message: dict[str, Any]) -> str | None:
    """Remove the reasoning from a message or delta, under whichever name it came."""
    deepseek, vllm = message.pop("reasoning_content", None), message.pop("reasoning", None)
    return deepseek or vllm or None


def _says(delta: dict[str, Any]) -> bool:
    return bool(delta.get("content") or delta.get("tool_calls"))
