"""Going on with a stream that broke off, out of another run of the same request. Pure.

The other run begins at the beginning. What was sent already is taken out of it, by text: engines
cut their events as their load lets them. Where the two runs differ, or an event holds what can't
be cut (tool calls, log-probabilities, token ids), the answer can't go on.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.protocol import sse

_TEXTS = ("reasoning_content", "content")
_KNOWN = {"index", "delta", "text", "finish_reason", "stop_reason", "logprobs"}
_KNOWN_DELTA = {"role", *_TEXTS}


class Diverged(Exception):
    """The other run is not the same answer, or can't be fitted."""


class Splice:
    """Takes out of a run what `sent`, whole events of the other one, said before."""

    def __init__(self, sent: bytes) -> None:
        self._left: dict[tuple[int, str], str] = {}
        self._roles: set[int] = set()
        self._ended: dict[int, Any] = {}
        self._usage = False
        self._identity: dict[str, Any] = {}
        for event in _events(sent):
            if event == sse.DONE_DATA:
                continue
            chunk = _chunk(event)
            self._identity = {name: chunk[name] for name in ("id", "created") if name in chunk}
            self._usage = self._usage or not chunk["choices"]
            for choice in chunk["choices"]:
                self._remember(choice)

    def feed(self, data: bytes) -> bytes:
        """What of these events is new; whole events in, whole events out. Raises Diverged."""
        return b"".join(self._event(event) for event in _events(data))

    def _remember(self, choice: dict[str, Any]) -> None:
        index, texts = _texts(choice)
        if choice.get("delta", {}).get("role") is not None:
            self._roles.add(index)
        for name, text in texts.items():
            self._left[index, name] = self._left.get((index, name), "") + text
        if choice.get("finish_reason") is not None:
            self._ended[index] = choice["finish_reason"]

    def _event(self, event: bytes) -> bytes:
        if event == sse.DONE_DATA:
            if any(self._left.values()):
                raise Diverged
            return sse.DONE
        chunk = _chunk(event)
        chunk.update(self._identity)
        if not chunk["choices"]:
            return b"" if self._usage else sse.event(orjson.dumps(chunk))
        chunk["choices"] = [choice for choice in chunk["choices"] if self._is_new(choice)]
        return sse.event(orjson.dumps(chunk)) if chunk["choices"] else b""

    def _is_new(self, choice: dict[str, Any]) -> bool:
        """Cut a choice in place; False if nothing of it is new."""
        index, texts = _texts(choice)
        target = choice.get("delta", choice)
        new = False
        for name, text in texts.items():
            if name == "content" and text and self._left.get((index, "reasoning_content")):
                raise Diverged
            rest = self._cut(index, name, text)
            target[name] = rest
            new = new or bool(rest)
        if target.get("role") is not None and index not in self._roles:
            new = True
        if choice.get("finish_reason") is None:
            return new
        if any(left for (which, _), left in self._left.items() if which == index):
            raise Diverged
        if index not in self._ended:
            return True
        if new or self._ended[index] != choice["finish_reason"]:
            raise Diverged
        return False

    def _cut(self, index: int, name: str, text: str) -> str:
        left = self._left.get((index, name), "")
        common = min(len(left), len(text))
        if left[:common] != text[:common]:
            raise Diverged
        self._left[index, name] = left[common:]
        return text[common:]


def _events(data: bytes) -> list[bytes]:
    return [event[6:] for event in data.split(b"\n\n") if event.startswith(b"data: ")]


def _chunk(event: bytes) -> dict[str, Any]:
    chunk: dict[str, Any] = orjson.loads(event)
    if not isinstance(chunk.get("choices"), list):
        raise Diverged
    return chunk


def _texts(choice: dict[str, Any]) -> tuple[int, dict[str, str]]:
    """A choice's number and its texts. Raises Diverged if it holds more than texts."""
    delta = choice.get("delta") or {}
    more = [name for name in choice if name not in _KNOWN and choice[name] is not None]
    more += [name for name in delta if name not in _KNOWN_DELTA and delta[name] is not None]
    if more or choice.get("logprobs") is not None:
        raise Diverged
    texts = {name: delta[name] for name in _TEXTS if delta.get(name) is not None}
    if choice.get("text") is not None:
        texts["text"] = choice["text"]
    return choice.get("index", 0), texts
