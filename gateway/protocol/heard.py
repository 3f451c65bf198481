"""What is said in one answer, for the guards that read along. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.protocol.repetition import Loop, LoopFinder

_CHARACTERS = 4
"""As many count as a token where a model server tells none."""


class Heard:
    """Translators tell it each piece of an answer's only choice, in order.

    `keeps`: the texts are wanted; `loop`: what counts as a loop, None if nobody asks.
    """

    __slots__ = ("_finder", "_keeps", "_loop", "_texts")

    def __init__(self, *, keeps: bool, loop: Loop | None) -> None:
        self._keeps = keeps
        self._loop = loop
        self._finder: LoopFinder | None = None
        self._texts: list[str] = []

    def said(self, ids: Sequence[int], *texts: str | None) -> None:
        """A piece: its tokens, where they are known, and its texts."""
        if self._keeps:
            self._texts += [text for text in texts if text]
        if self._loop is None or not (ids or any(texts)):
            return
        if self._finder is None:
            # A server that gives token ids gives them with each piece.
            self._finder = LoopFinder(self._loop if ids else self._loop.scaled(_CHARACTERS))
        self._finder.feed(ids or [ord(each) for text in texts for each in text or ""])

    @property
    def text(self) -> str:
        """All that was said, if it `keeps` that."""
        return "".join(self._texts)

    @property
    def loops(self) -> bool:
        """Whether the answer repeats itself at the moment."""
        return self._finder is not None and self._finder.found
