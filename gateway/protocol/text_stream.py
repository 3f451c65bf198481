"""Turning vLLM's streamed text completions into those that the gateway gives. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.protocol import sse
from gateway.protocol.continuation import Progress
from gateway.protocol.repetition import translate_ending
from gateway.protocol.request import Asked
from gateway.protocol.stream import END, Piece, Rest
from gateway.protocol.usage import Usage, with_cache_counts
from gateway.protocol.wire import ENGINE_FIELDS, drop, head_of, read_chunk


class CompletionStream:
    """The events of a streamed text completion."""

    def __init__(self, asked: Asked, model: str) -> None:
        self._asked = asked
        self._model = model
        self._per_prompt = int(asked.body.get("n") or 1)
        self._choices = choices_of(asked)
        self._finished: set[int] = set()
        self._head: dict[str, Any] = {}
        self.usage = Usage()
        self.progress: Progress | None = None

    def event(self, data: bytes) -> Piece:
        """One event of vLLM as the bytes to send."""
        if data == sse.DONE_DATA:
            return END
        return self._chunk(read_chunk(data))

    def _chunk(self, chunk: dict[str, Any]) -> Piece:
        if not self._head:
            self._head = head_of(chunk)
        chunk["model"] = self._model
        if not self._asked.token_ids:
            drop(chunk, ENGINE_FIELDS)
        usage = chunk.get("usage")
        if not chunk["choices"]:
            if usage is not None:
                self.usage.read(usage)
                with_cache_counts(usage)
            return Piece(sse.event(orjson.dumps(chunk)) if self._asked.usage else b"")
        content = False
        for choice in chunk["choices"]:
            content = bool(choice.get("text")) or content
            ids = choice.get("token_ids") or ()
            self.usage.completion += len(ids)
            if self._asked.heard is not None:
                self._asked.heard.said(ids, choice.get("text"))
            # A choice carries its prompt once; the choices of one prompt share it.
            prompt_ids = choice.get("prompt_token_ids")
            if prompt_ids and choice.get("index", 0) % self._per_prompt == 0:
                self.usage.prompt += len(prompt_ids)
            if self.progress is not None:
                self.progress.prompt = choice.get("prompt_token_ids") or self.progress.prompt
                self.progress.passed(ids, None, choice.get("text"))
            if choice.get("finish_reason") is not None:
                translate_ending(choice)
                self._finished.add(choice.get("index", 0))
            if not self._asked.token_ids:
                drop(choice, ("token_ids", "prompt_token_ids", "prompt_logprobs"))
        return Piece(sse.event(orjson.dumps(chunk)), 1, content)

    def resumed(self, rest: Rest) -> Piece:
        """A piece that another server gave."""
        choice: dict[str, Any] = {
            "index": 0,
            "text": rest.content or "",
            "logprobs": None,
            "finish_reason": rest.finish,
            "stop_reason": rest.stop,
            "token_ids": rest.ids,
        }
        return self._chunk({**self._head, "choices": [choice]})

    def closing(self, usage: dict[str, Any]) -> bytes:
        """The usage event of an answer that another server ended."""
        return self._chunk({**self._head, "choices": [], "usage": usage}).data

    def stop(self, why: str) -> bytes:
        """The events that end the answer here."""
        last = self.resumed(Rest((), None, None, "stop", why)).data
        return last + self.closing(self.usage.told())

    @property
    def finished(self) -> bool:
        """True when every choice has a finish reason."""
        return len(self._finished) >= self._choices


def choices_of(asked: Asked) -> int:
    """How many choices an answer has: `n` for each prompt."""
    prompts = asked.body.get("prompt")
    many = len(prompts) if isinstance(prompts, list) and _is_batch(prompts) else 1
    return int(asked.body.get("n") or 1) * many


def _is_batch(prompts: list[Any]) -> bool:
    return bool(prompts) and not isinstance(prompts[0], int)
