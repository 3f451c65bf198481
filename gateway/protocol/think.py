"""Splitting raw text with `<think>…</think>` in it into reasoning and content. Pure.

For model servers that leave the marks in the text. Only a mark at the very beginning opens the
reasoning: later ones are text, as a program about XML would have it.
"""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


class ThinkSplitter:
    """Splits the text of one answer, in pieces of any size; marks may be cut anywhere.

    `opened`: the prompt ended with `<think>`, so the text begins inside the reasoning. The marks
    and the white space in front of an opening one are left out, all else is kept as it is.
    `begun`: the text goes on from one whose beginning passed already, so no mark opens it.
    """

    __slots__ = ("_held", "_opened", "_state")

    def __init__(self, *, opened: bool, begun: bool = False) -> None:
        self._held = ""
        self._opened = opened
        self._state = "start"
        if begun:
            self._state = "reasoning" if opened else "content"

    def feed(self, text: str) -> tuple[str, str]:
        """The reasoning and the content that `text` completes."""
        text, self._held = self._held + text, ""
        if self._state == "start":
            bare = text.lstrip()
            if len(bare) < len(OPEN) and OPEN.startswith(bare):
                self._held = text
                return "", ""
            if bare.startswith(OPEN):
                self._state, text = "reasoning", bare[len(OPEN) :]
            else:
                self._state = "reasoning" if self._opened else "content"
        if self._state == "content":
            return "", text
        reasoning, mark, content = text.partition(CLOSE)
        if mark:
            self._state = "content"
            return reasoning, content
        said = len(text) - overlap(text, CLOSE)
        self._held = text[said:]
        return text[:said], ""

    def end(self) -> tuple[str, str]:
        """What was held back, at the end of the answer: half a mark is text."""
        held, self._held = self._held, ""
        inside = self._state == "reasoning" or (self._state == "start" and self._opened)
        return (held, "") if inside else ("", held)


def overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that `mark` begins with, short of all of it."""
    for size in range(min(len(text), len(mark) - 1), 0, -1):
        if text.endswith(mark[:size]):
            return size
    return 0
