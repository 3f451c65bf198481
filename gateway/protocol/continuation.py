"""Continuing a streamed answer that was cut, from the tokens that came. Pure.

The rest is asked for as a completion of the prompt's and the answer's token ids, at any server with
the same weights. Sampling has no memory but those tokens, so the rest is drawn from what the uncut
answer would have been drawn from; with greedy decoding it is the same text where the engine itself
is deterministic. What has more memory than the tokens (penalties, grammars, a seed's generator) is
not continued.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from gateway.protocol.request import Asked
from gateway.protocol.think import CLOSE, overlap

END = "<｜end▁of▁sentence｜>"
"""The token that ends an answer, of R1 and its distills."""

_GIVEN_ON = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "stop_token_ids",
        # What came of the reasoning is counted too: it is in the prompt then.
        "thinking_token_budget",
        "ignore_eos",
        "logit_bias",
        "cache_salt",
        "user",
    }
)
_KNOWN = _GIVEN_ON | {
    "model",
    "messages",
    "prompt",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "metadata",
    "chat_template_kwargs",
    "reasoning_effort",
    "return_token_ids",
    "add_special_tokens",
    "store",
}
# Values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "tool_choice": ("none",),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "min_tokens": (0,),
}


def why_not(asked: Asked, body: dict[str, Any]) -> str | None:
    """What of a request forbids to continue its answer: a field's name; None if nothing does.

    Args:
        asked: as the caller sent it.
        body: as the model server got it.
    """
    if asked.token_ids:
        return "return_token_ids"
    for field, value in body.items():
        if value is None or field in _KNOWN:
            continue
        if field == "seed" and body.get("temperature") == 0:
            continue
        if value not in _NEUTRAL.get(field, ()):
            return field
    prompt = body.get("prompt")
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        return "prompt"
    return None


class Progress:
    """What of one streamed choice has passed. Token ids take four bytes each.

    `room` is the most tokens that the whole answer may have; None: what the context leaves.
    `chat`: the think block's end is taken out of the text.
    """

    __slots__ = ("_last", "chat", "content", "ids", "opened", "prompt", "reasoning", "room")

    def __init__(self, *, chat: bool) -> None:
        self.chat = chat
        self.prompt: Sequence[int] = ()
        self.ids = array("i")
        self.room: int | None = None
        self.reasoning = 0
        self.content = 0
        self.opened = False
        self._last = ""

    def passed(self, ids: Sequence[int], reasoning: str | None, content: str | None) -> None:
        """A piece passed: its tokens, and the texts that are on their way to the caller."""
        self.ids.extend(ids)
        if reasoning is not None:
            self.opened = True
        if reasoning:
            self.reasoning += len(reasoning)
            self._last = reasoning
        if content:
            self.content += len(content)
            self._last = content

    @property
    def begun(self) -> bool:
        """Whether some text has passed, so that there is something to go on from."""
        return bool(self.reasoning or self.content)

    @property
    def thinking(self) -> bool:
        """Whether the answer is still inside its think block."""
        return self.opened and not self.content

    def rest(self, text: str) -> str | None:
        """What of `text`, the text of the tokens, did not pass yet; None if another text passed."""
        if not self.opened:
            # An empty think block: its end is in the tokens and in no text.
            before, after = "", text.removeprefix(CLOSE) if self.chat else text
        else:
            before, mark, after = text.partition(CLOSE)
            if not self.content:
                held = before[self.reasoning :] + mark + after
                return held if self._fits(before, self.reasoning) else None
            if not mark or len(before) != self.reasoning:
                return None
        return after[self.content :] if self._fits(after, self.content) else None

    def _fits(self, text: str, passed: int) -> bool:
        return len(text) >= passed and text[:passed].endswith(self._last)


def rest_of_request(
    progress: Progress, body: dict[str, Any], context: int | None
) -> dict[str, Any] | None:
    """The body of the completion that goes on; None when no room for it is known.

    Args:
        progress: of the answer, its last tokens those to go on from.
        body: of the request, as the model server got it.
        context: the model's context in tokens, where it is known.
    """
    bounds = []
    if progress.room is not None:
        bounds.append(progress.room - len(progress.ids))
    if context is not None:
        bounds.append(context - len(progress.prompt) - len(progress.ids))
    if not bounds or min(bounds) <= 0:
        return None
    given = {name: body[name] for name in _GIVEN_ON & body.keys() if body[name] is not None}
    return {
        **given,
        "model": body["model"],
        "prompt": [*progress.prompt, *progress.ids],
        "max_tokens": min(bounds),
        "stream": True,
        "return_token_ids": True,
    }


class Stops:
    """Ends a text at the first of some stop texts, which may come in pieces.

    Text that may be the beginning of a stop text is held back.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.met: str | None = None

    def feed(self, text: str) -> str:
        """What may be said of the text so far; after a stop was `met`, nothing more."""
        if not self._stops or self.met is not None:
            return "" if self.met is not None else text
        text = self._held + text
        found = [(text.find(stop), stop) for stop in self._stops if stop in text]
        if found:
            at, self.met = min(found, key=lambda each: each[0] + len(each[1]))
            self._held = ""
            return text[:at]
        keep = max(overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, at the end of the text."""
        held, self._held = self._held, ""
        return held


def stops_of(body: dict[str, Any]) -> list[str]:
    """The stop texts that a request names."""
    stop = body.get("stop")
    if stop is None:
        return []
    return [stop] if isinstance(stop, str) else list(stop)
