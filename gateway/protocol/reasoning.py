"""Counting the reasoning tokens of an answer, exactly, from its token ids. Pure.

R1's chat template opens `<think>` in the prompt, so the answer holds only `</think>`; vLLM's
own count looks for both marks in the answer and gives 0. The ids of the answer's tokens tell
exactly: all tokens up to the one that is `</think>` are reasoning. As in vLLM's count, the
marks themselves are not reasoning tokens.
"""

from __future__ import annotations

from collections.abc import Sequence


def count(token_ids: Sequence[int], think_end: int) -> int:
    """Reasoning tokens of a whole answer that began inside the think block."""
    try:
        return token_ids.index(think_end)
    except ValueError:
        return len(token_ids)


class ReasoningCounter:
    """Counts the reasoning tokens of one streamed choice, piece by piece.

    `think_end` is the id of `</think>`. While it isn't known, a piece counts as reasoning when
    it carries reasoning text and no content: exact too, unless one piece holds both.
    """

    __slots__ = ("_closed", "_open", "_think_end", "tokens")

    def __init__(self, think_end: int | None) -> None:
        self._think_end = think_end
        self._open = False
        self._closed = False
        self.tokens = 0

    def feed(self, token_ids: Sequence[int], *, reasoning: bool, content: bool) -> int | None:
        """Count one piece. Returns where `</think>` is in `token_ids`, None if it isn't."""
        if self._closed:
            return None
        if reasoning:
            self._open = True
        if not self._open:
            # Without reasoning text the answer has no think block that we could count in,
            # except when `</think>` is the very first token.
            if self._think_end is not None and self._think_end in token_ids:
                self._closed = True
                return token_ids.index(self._think_end)
            if content:
                self._closed = True
            return None
        if self._think_end is not None:
            if self._think_end in token_ids:
                position = token_ids.index(self._think_end)
                self.tokens += position
                self._closed = True
                return position
            self.tokens += len(token_ids)
            return None
        if content:
            self._closed = True
            if not reasoning:
                return None
        self.tokens += len(token_ids)
        return None
