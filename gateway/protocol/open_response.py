"""What of a streamed response is begun and not ended, so that it can be ended here. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.protocol import sse

_PLACE = ("item_id", "output_index", "content_index")


class OpenResponse:
    """Follows the events of one response."""

    def __init__(self) -> None:
        self._response: dict[str, Any] = {}
        self._ended: list[Any] = []  # items of the output
        self._item: dict[str, Any] | None = None  # events, the last of their kind
        self._part: dict[str, Any] | None = None
        self._delta: dict[str, Any] | None = None
        self._texts: list[str] = []

    def saw(self, event: dict[str, Any]) -> None:
        """An event passed."""
        kind = event["type"]
        if kind.endswith(".delta"):
            self._delta = event
            self._texts.append(event.get("delta") or "")
        elif kind.endswith("_part.added"):
            self._part = event
        elif kind == "response.output_item.added":
            self._item, self._part, self._delta, self._texts = event, None, None, []
        elif kind == "response.output_item.done":
            self._ended.append(event.get("item"))
            self._item = None
        elif isinstance(event.get("response"), dict):
            self._response = event["response"]

    def end(self, why: str, number: int) -> bytes:
        """The events that end all that is open; `number` is that of the first.

        The response says `why` beside its status. Its usage is null: how many tokens the prompt
        had is told by the engine's own last event alone.
        """
        events = self._close()
        response = {
            **self._response,
            "status": "completed",
            "output": self._ended,
            "usage": None,
            "stop_reason": why,
        }
        events.append({"type": "response.completed", "response": response})
        return b"".join(
            sse.named_event(event["type"], orjson.dumps({**event, "sequence_number": number + at}))
            for at, event in enumerate(events)
        )

    def _close(self) -> list[dict[str, Any]]:
        """Ends the open text, its part and its item, in this order."""
        if self._item is None:
            return []
        text = "".join(self._texts)
        item = {**self._item["item"], "status": "completed"}
        events: list[dict[str, Any]] = []
        if self._delta is not None:
            place = {name: self._delta[name] for name in _PLACE if name in self._delta}
            kind = self._delta["type"].removesuffix("delta") + "done"
            said = "arguments" if self._part is None else "text"
            events.append({"type": kind, **place, said: text})
        if self._part is None:
            item["arguments"] = text
        else:
            part = {**self._part["part"], "text": text}
            item["content"] = [part]
            kind = self._part["type"].removesuffix("added") + "done"
            events.append({**self._part, "type": kind, "part": part})
        events.append({**self._item, "type": "response.output_item.done", "item": item})
        self._ended.append(item)
        self._item = None
        return events
