"""Reads one answer and measures it, from bytes and the times at which they came. No I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from loadtests.client.call import BROKEN, CUT, DONE, ERROR, LATE, LEFT, LOST, Call, Said
from loadtests.client.wire import Events, Response

if TYPE_CHECKING:
    from loadtests.client.ask import Ask

_SHOWN = 200


class Reading:
    """One answer to one ask; what it finds goes into `call`."""

    def __init__(self, ask: Ask, call: Call) -> None:
        self.call = call
        self._ask = ask
        self._response = Response()
        self._events = Events()
        self._body = bytearray()
        self._texts = 0
        self._last = 0.0
        self._done: float | None = None
        self._over = False

    @property
    def touched(self) -> bool:
        """Whether anything came."""
        return self._response.status != 0

    @property
    def reusable(self) -> bool:
        """Whether the connection may serve another call."""
        return self._response.reusable

    def feed(self, data: bytes, now: float) -> bool:
        """Take what came; whether nothing more is to be read."""
        response = self._response
        try:
            body = response.feed(data)
            self.call.status = response.status
            if self._is_stream():
                self._stream(body, now)
            else:
                self._body += body
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._end(BROKEN, now, f"{type(error).__name__}: {error}")
        if not self._over and (response.whole or (self._done is not None and response.endless)):
            self._whole(now)
        return self._over

    def close(self, now: float) -> None:
        """The connection ended."""
        if self._over:
            return
        self._response.close()
        if self._response.whole:
            self._whole(now)
        else:
            self._end(CUT if self.touched else LOST, now, "the connection ended")

    def lose(self, error: Exception, now: float) -> None:
        """The connection broke, or the time limit came."""
        ending = LATE if isinstance(error, TimeoutError) else LOST
        self._end(ending, now, f"{type(error).__name__}: {error}")

    def end(self, ending: str, now: float, message: str = "") -> None:
        """It is over for another reason."""
        self._end(ending, now, message)

    def _is_stream(self) -> bool:
        return self._ask.stream and self._response.status == 200

    def _stream(self, body: bytes, now: float) -> None:
        for data in self._events.feed(body):
            if self._over:
                return
            if data == b"[DONE]":
                # Read on to the body's end: then the connection is free again.
                self._done = now
                continue
            event = json.loads(data)
            if "error" in event:
                self._end(ERROR, now, _message(event))
            elif _take(event, self.call.said, "delta"):
                self._text(now)

    def _text(self, now: float) -> None:
        if self.call.first is None:
            self.call.first = now
        else:
            self.call.gaps.append(now - self._last)
        self._last = now
        self._texts += 1
        if self._ask.leaves_after is not None and self._texts >= self._ask.leaves_after:
            self.call.expected = True
            self._end(LEFT, now)

    def _whole(self, now: float) -> None:
        call, response = self.call, self._response
        if response.status != 200:
            self._refused(now)
        elif self._ask.stream:
            if self._done is None:
                self._end(CUT, now, "the stream has no [DONE]")
            else:
                self._end(DONE, self._done)
        else:
            try:
                body = json.loads(self._body)
                _take(body, call.said, "message")
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                self._end(BROKEN, now, f"{type(error).__name__}: {error}")
                return
            self._end(DONE, now)

    def _refused(self, now: float) -> None:
        status = self._response.status
        self.call.expected = status in self._ask.expected
        try:
            message = _message(json.loads(self._body))
        except (ValueError, AttributeError):
            message = self._body.decode(errors="replace")
        self._end(f"http {status}", now, message)

    def _end(self, ending: str, now: float, message: str = "") -> None:
        call = self.call
        self._over = True
        call.ending, call.ended, call.message = ending, now, message[:_SHOWN]
        headers = self._response.headers
        call.cache = headers.get("x-r1-cache", "")
        call.retry_after = "retry-after" in headers
        if call.completed and self._ask.right is not None:
            call.right = self._ask.right(call.said)


def _message(event: dict[str, Any]) -> str:
    error = event.get("error", event)
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _take(event: dict[str, Any], said: Said, part: str) -> bool:
    """Add an event, or a whole answer, to what was said; whether it carried text."""
    usage = event.get("usage")
    if usage:
        said.prompt_tokens = usage["prompt_tokens"]
        said.completion_tokens = usage["completion_tokens"]
        details = usage.get("completion_tokens_details") or {}
        said.reasoning_tokens = details.get("reasoning_tokens") or 0
    texts = False
    for choice in event["choices"]:
        piece = choice.get(part) or {}
        reasoning = piece.get("reasoning_content") or piece.get("reasoning") or ""
        content = piece.get("content") or choice.get("text") or ""
        called = _called(piece.get("tool_calls") or (), said)
        said.reasoning += reasoning
        said.content += content
        said.finish = choice.get("finish_reason") or said.finish
        said.scores += len((choice.get("logprobs") or {}).get("content") or ())
        texts = texts or bool(reasoning or content or called)
    return texts


def _called(calls: Any, said: Said) -> bool:
    came = False
    for place, each in enumerate(calls):
        function = each.get("function") or {}
        index = each.get("index", place)
        said.tool = function.get("name") or said.tool
        said.tools[index] = said.tools.get(index, "") + (function.get("arguments") or "")
        came = True
    return came
