"""Turning vLLM's streamed answers into those that the gateway gives, event by event. Pure.

What changes: `reasoning` becomes `reasoning_content`; `model` is the id that really answered;
reasoning tokens are counted into the usage; token ids, prompt texts and transfer parameters of
the engine are left out; the usage event is left out unless asked for. All else passes through.

A streamed chat delta always has both keys `content` and `reasoning_content` (one of them null),
as DeepSeek's has: programs written for it read both without looking whether they are there.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.protocol import sse
from gateway.protocol.chat_run import Run, Runs
from gateway.protocol.continuation import Progress
from gateway.protocol.reasoning import ReasoningCounter
from gateway.protocol.repetition import translate_ending
from gateway.protocol.request import Asked
from gateway.protocol.stream import END, Piece, Rest
from gateway.protocol.usage import Usage, with_cache_counts, with_reasoning
from gateway.protocol.wire import ENGINE_FIELDS, drop, head_of, read_chunk


class ChatStream:
    """The events of a streamed chat answer."""

    def __init__(self, asked: Asked, model: str, think_end: int | None) -> None:
        self._asked = asked
        self._model = model
        self._think_end = think_end
        self._counters: dict[int, ReasoningCounter] = {}
        self._finished: set[int] = set()
        self._choices = int(asked.body.get("n") or 1)
        self._head: dict[str, Any] = {}
        # Who wants other texts or fields than usual gets each event on its own.
        usual = asked.thinks and asked.reasoning and not asked.token_ids
        self._runs = Runs(model) if usual and self._choices == 1 else None
        self.usage = Usage()
        self.progress: Progress | None = None

    def event(self, data: bytes) -> Piece:
        """One event of vLLM as the bytes to send; several events when one must be cut."""
        if data == sse.DONE_DATA:
            return END
        piece = self._chunk(read_chunk(data))
        if self._runs is not None and not self._runs.ready:
            self._runs.learn(data)
        return piece

    def run(self, events: list[bytes], begin: int) -> tuple[Piece, int]:
        """The same for as many of the events as can be taken together, from `begin` on.

        Also gives the place of the first one that was not taken.
        """
        # One event alone is read faster than it is looked at.
        if self._runs is not None and self._runs.ready and len(events) - begin > 1:
            run = self._runs.first(sse.stream(events[begin:]))
            if run is not None:
                return self._passed(run), begin + run.events
        return self.event(events[begin]), begin + 1

    def pieces(self, stream: bytes) -> tuple[Piece, int] | None:
        """The events that a piece of the stream begins with, if they can be taken together.

        Also gives how many bytes they had.
        """
        run = None if self._runs is None else self._runs.first(stream)
        return None if run is None else (self._passed(run), run.size)

    def _passed(self, run: Run) -> Piece:
        self.usage.completion += len(run.ids)
        if self.progress is not None:
            self.progress.passed(run.ids, run.reasoning, run.content)
        if self._asked.heard is not None:
            self._asked.heard.said(run.ids, run.reasoning, run.content)
        counter = self._counter(0)
        before = counter.tokens
        counter.feed(run.ids, reasoning=run.reasoning is not None, content=bool(run.content))
        self.usage.reasoning += counter.tokens - before
        return Piece(run.data, len(run.ids), bool(run.content))

    def _chunk(self, chunk: dict[str, Any]) -> Piece:
        chunk["model"] = self._model
        prompt_ids = chunk.get("prompt_token_ids")
        if prompt_ids:
            self.usage.prompt = len(prompt_ids)
            self._head = head_of(chunk)
            if self.progress is not None:
                self.progress.prompt = prompt_ids
        if not self._asked.token_ids:
            drop(chunk, ENGINE_FIELDS)
        usage = chunk.get("usage")
        choices = chunk["choices"]
        if not choices:
            if usage is not None:
                self._read_usage(usage)
            return Piece(sse.event(orjson.dumps(chunk)) if self._asked.usage else b"")
        out = []
        tokens = 0
        content = False
        for choice in choices:
            ids = choice.get("token_ids") or ()
            tokens += len(ids)
            self.usage.completion += len(ids)
            delta = choice.get("delta")
            if delta is None:
                delta = choice["delta"] = {}
            if not self._asked.thinks and delta.get("reasoning") is not None:
                delta["content"] = delta.pop("reasoning") + (delta.get("content") or "")
            if self._asked.heard is not None:
                self._asked.heard.said(ids, delta.get("reasoning"), delta.get("content"))
            content = bool(delta.get("content") or delta.get("tool_calls")) or content
            if self.progress is not None:
                self.progress.passed(ids, delta.get("reasoning"), delta.get("content"))
            cut = self._count(choice, delta, ids)
            if not self._asked.token_ids:
                choice.pop("token_ids", None)
            if choice.get("finish_reason") is not None:
                translate_ending(choice)
                self._finished.add(choice.get("index", 0))
            out.extend(self._shape(choice, delta, cut))
        if usage is not None:
            with_cache_counts(usage)
            with_reasoning(usage, self.usage.reasoning)
        if not out:
            return Piece(b"", tokens, content)
        if len(out) == 1:
            chunk["choices"] = out
            return Piece(sse.event(orjson.dumps(chunk)), tokens, content)
        return Piece(
            b"".join(sse.event(orjson.dumps({**chunk, "choices": [one]})) for one in out),
            tokens,
            content,
        )

    @property
    def finished(self) -> bool:
        """True when every choice has a finish reason."""
        return len(self._finished) >= self._choices

    def resumed(self, rest: Rest) -> Piece:
        """A piece that another server gave."""
        delta = {"reasoning": rest.reasoning, "content": rest.content}
        choice: dict[str, Any] = {
            "index": 0,
            "delta": {name: text for name, text in delta.items() if text is not None},
            "logprobs": None,
            "finish_reason": rest.finish,
            "token_ids": rest.ids,
        }
        if rest.finish is not None:
            choice["stop_reason"] = rest.stop
        return self._chunk({**self._head, "choices": [choice]})

    def closing(self, usage: dict[str, Any]) -> bytes:
        """The usage event of an answer that another server ended."""
        return self._chunk({**self._head, "choices": [], "usage": usage}).data

    def stop(self, why: str) -> bytes:
        """The events that end the answer here."""
        last = self.resumed(Rest((), None, None, "stop", why)).data
        return last + self.closing(self.usage.told())

    def _read_usage(self, usage: dict[str, Any]) -> None:
        self.usage.read(usage)
        with_cache_counts(usage)
        if self._counters:
            with_reasoning(usage, self.usage.reasoning)

    def _count(self, choice: dict[str, Any], delta: dict[str, Any], ids: Any) -> int | None:
        counter = self._counter(choice.get("index", 0))
        before = counter.tokens
        cut = counter.feed(
            ids,
            reasoning=delta.get("reasoning") is not None,
            content=bool(delta.get("content") or delta.get("tool_calls")),
        )
        self.usage.reasoning += counter.tokens - before
        return cut

    def _counter(self, index: int) -> ReasoningCounter:
        counter = self._counters.get(index)
        if counter is None:
            counter = self._counters[index] = ReasoningCounter(self._think_end)
        return counter

    def _shape(
        self, choice: dict[str, Any], delta: dict[str, Any], cut: int | None
    ) -> list[dict[str, Any]]:
        """The choice in DeepSeek's form: none, one, or two when it crosses `</think>`."""
        reasoning = delta.pop("reasoning", None)
        if not self._asked.reasoning:
            if reasoning is not None:
                # The log-probabilities would tell the text that isn't wanted.
                choice["logprobs"] = _logprobs(choice, None if cut is None else cut + 1, None)
            reasoning = None
        silent = not delta and reasoning is None
        if silent and choice.get("finish_reason") is None:
            return []
        if reasoning and (delta.get("content") or delta.get("tool_calls")):
            first = {**choice, "delta": {"content": None, "reasoning_content": reasoning}}
            first["finish_reason"] = None
            first.pop("stop_reason", None)
            if choice.get("logprobs") is not None:
                end = None if cut is None else cut + 1
                first["logprobs"] = _logprobs(choice, None, end)
                choice["logprobs"] = _logprobs(choice, end, None) if cut is not None else None
            if "token_ids" in choice and cut is not None:
                first["token_ids"] = choice["token_ids"][: cut + 1]
                choice["token_ids"] = choice["token_ids"][cut + 1 :]
            delta["reasoning_content"] = None
            return [first, choice]
        delta["reasoning_content"] = reasoning
        if "content" not in delta:
            delta["content"] = None if reasoning is not None or delta.get("tool_calls") else ""
        elif reasoning is None and delta["content"] is None and not delta.get("tool_calls"):
            delta["content"] = ""
        return [choice]


def _logprobs(choice: dict[str, Any], start: int | None, end: int | None) -> Any:
    """The part [start, end) of a choice's log-probabilities; None when nothing can be told."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict) or not isinstance(logprobs.get("content"), list):
        return None
    if start is None and end is None:
        return None
    return {**logprobs, "content": logprobs["content"][start:end]}
