"""Guesses of what a request will take, learned from those before it. Pure."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from gateway.protocol.usage import Usage

_WEIGHT = 0.2  # of the newest answer in the moving averages
_TOKENS_PER_BYTE = 0.25  # of JSON, before anything is learned
_ANSWER_TOKENS = 1000.0


@dataclass(frozen=True, slots=True)
class Guess:
    """Tokens that a request may take; `reasoning` is a part of `answer`."""

    prompt: int
    answer: int
    reasoning: int

    @property
    def tokens(self) -> int:
        """Prompt and answer together."""
        return self.prompt + self.answer


@dataclass(slots=True)
class _Learned:
    tokens_per_byte: float = _TOKENS_PER_BYTE
    answer: float = _ANSWER_TOKENS
    reasoning: float = _ANSWER_TOKENS


class Estimates:
    """Moving averages for each key and model, at most `size` of them, least used out first."""

    def __init__(self, size: int = 10000) -> None:
        self._size = size
        self._learned: OrderedDict[tuple[str, str], _Learned] = OrderedDict()

    def guess(
        self, key: str, model: str, body_bytes: int, max_tokens: int | None, answers: int = 1
    ) -> Guess:
        """What a request takes, at least one token of each; an answer is at most `max_tokens`.

        `answers` is how many are asked for at once.
        """
        known = self._learned.get((key, model)) or _Learned()
        most = math.inf if max_tokens is None else max(1, max_tokens)
        answer = min(max(1, math.ceil(known.answer)), most) * answers
        reasoning = min(max(1, math.ceil(known.reasoning)), most) * answers
        prompt = max(1, math.ceil(known.tokens_per_byte * body_bytes))
        return Guess(prompt, int(answer), int(min(reasoning, answer)))

    def learn(self, key: str, model: str, body_bytes: int, usage: Usage, answers: int = 1) -> None:
        """A request was answered with this usage."""
        place = (key, model)
        known = self._learned.get(place)
        if known is None:
            # The first answer tells more than the guess before it.
            known, weight = _Learned(), 1.0
            self._learned[place] = known
            while len(self._learned) > self._size:
                self._learned.popitem(last=False)
        else:
            weight = _WEIGHT
            self._learned.move_to_end(place)
        known.tokens_per_byte += weight * (
            usage.prompt / max(1, body_bytes) - known.tokens_per_byte
        )
        known.answer += weight * (usage.completion / answers - known.answer)
        known.reasoning += weight * (usage.reasoning / answers - known.reasoning)
