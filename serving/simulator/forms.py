"""The forms that an answer can have, one for each API; here those of chats and completions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from serving.simulator.answers import END_THINK, decode
from serving.simulator.wire import DONE, Asked, Events, usage_event, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.simulator.answers import Answer


class Maker(Protocol):
    """Makes the events of one choice."""

    def opening(self) -> bytes | None:
        """What comes before the first token."""

    def of(self, ids: list[int], *, last: bool) -> list[bytes]:
        """The events of the next tokens."""


class Form(Protocol):
    """How one API asks and is answered."""

    chat: bool

    def asks(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request as a chat's or completion's body."""

    def events(self, asked: Asked, choice: int, answer: Answer, per_event: int) -> Maker:
        """For one choice of a stream."""

    def closing(self, asked: Asked, answers: Sequence[Answer], cached: int) -> list[bytes]:
        """The events after the last token."""

    def ends(self, event: bytes) -> bool:
        """Whether this event is the stream's end."""

    def whole(self, asked: Asked, answers: Sequence[Answer], cached: int) -> dict[str, Any]:
        """The body of an answer that is not streamed."""


class Chunks:
    """Chats and completions."""

    def __init__(self, *, chat: bool) -> None:
        self.chat = chat

    def asks(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body itself."""
        return body

    def events(self, asked: Asked, choice: int, answer: Answer, per_event: int) -> Maker:
        """Chunks."""
        return Events(asked, choice, answer, per_event)

    def closing(self, asked: Asked, answers: Sequence[Answer], cached: int) -> list[bytes]:
        """The usage, if it is asked for, and the end."""
        if not asked.wants_usage:
            return [DONE]
        tokens = sum(len(each.ids) for each in answers)
        return [usage_event(asked, tokens, cached), DONE]

    def ends(self, event: bytes) -> bool:
        """Whether this is `[DONE]`."""
        return event == DONE

    def whole(self, asked: Asked, answers: Sequence[Answer], cached: int) -> dict[str, Any]:
        """A body with choices."""
        return whole(asked, answers, cached)


class Named:
    """What the two APIs with named events share: an answer is blocks of one kind each."""

    chat = True

    def __init__(self, asked: Asked, answer: Answer, per_event: int) -> None:
        self.asked = asked
        self._inner = Events(asked, 0, answer, per_event)
        self._block = -1
        self._kind = ""
        self._text = ""

    def of(self, ids: list[int], *, last: bool) -> list[bytes]:
        """The events of the next tokens, made from a chat's."""
        made: list[bytes] = []
        for each in self._inner.of(ids, last=last):
            delta = json.loads(each[6:])["choices"][0]["delta"]
            for kind, text in _texts(delta):
                if text:
                    made += self._say(kind, text)
        if last and self._kind:
            made += self.close(self._block, self._kind, self._text)
        return made

    def _say(self, kind: str, text: str) -> list[bytes]:
        made: list[bytes] = []
        if kind != self._kind:
            if self._kind:
                made += self.close(self._block, self._kind, self._text)
            self._block, self._kind, self._text = self._block + 1, kind, ""
            made += self.open(self._block, kind)
        self._text += text
        return [*made, *self.delta(self._block, kind, text)]

    def open(self, block: int, kind: str) -> list[bytes]:
        """The events that begin a block."""
        raise NotImplementedError

    def delta(self, block: int, kind: str, text: str) -> list[bytes]:
        """The events of some text of a block."""
        raise NotImplementedError

    def close(self, block: int, kind: str, text: str) -> list[bytes]:
        """The events that end a block; `text` is all of it."""
        raise NotImplementedError


def _texts(delta: dict[str, Any]) -> list[tuple[str, str | None]]:
    calls = delta.get("tool_calls") or [{}]
    arguments = calls[0].get("function", {}).get("arguments")
    return [
        ("reasoning", delta.get("reasoning")),
        ("content", delta.get("content")),
        ("tool", arguments),
    ]


def named(data: dict[str, Any]) -> bytes:
    """One event with a name, which is its type."""
    text = json.dumps(data, separators=(",", ":"))
    return f"event: {data['type']}\ndata: {text}\n\n".encode()


def split(asked: Asked, answer: Answer) -> tuple[str, str]:
    """Reasoning and content of an answer."""
    end = answer.ids.index(END_THINK) if END_THINK in answer.ids else -1
    if asked.reasons and end < 0:
        return decode(answer.ids), ""
    return decode(answer.ids[: max(end, 0)]), decode(answer.ids[end + 1 :])


CHAT: Form = Chunks(chat=True)
COMPLETION: Form = Chunks(chat=False)
