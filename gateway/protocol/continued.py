"""Reading the rest of an answer that was cut as if it had never been. Pure.

The rest comes as a text completion (`gateway.protocol.continuation`). Its events are turned into
those that the first model server would have sent, and given to the translator that was at work when
it was lost: so ids, counts and the split at `</think>` go on where they stopped.
"""

from __future__ import annotations

from gateway.protocol import sse
from gateway.protocol.continuation import Progress, Stops
from gateway.protocol.reasoning import count
from gateway.protocol.stream import ContinuableStream, Piece, Rest
from gateway.protocol.think import ThinkSplitter
from gateway.protocol.usage import Usage
from gateway.protocol.wire import read_chunk


class Continued:
    """The translator of a completion that goes on with the answer of another translator."""

    def __init__(
        self,
        stream: ContinuableStream,
        progress: Progress,
        stops: Stops,
        *,
        held: str,
        think_end: int | None,
    ) -> None:
        """Args: `held` is text of tokens that came but whose text did not pass yet."""
        self._stream = stream
        self._progress = progress
        self._stops = stops
        self._held = held
        self._splitter = ThinkSplitter(opened=progress.thinking, begun=True)
        self._think_end = think_end

    @property
    def usage(self) -> Usage:
        """Of the whole answer."""
        return self._stream.usage

    @property
    def finished(self) -> bool:
        """True when the answer has a finish reason."""
        return self._stream.finished

    def event(self, data: bytes) -> Piece:
        """One event. Raises UpstreamFailed or UpstreamRejected for an error event."""
        if data == sse.DONE_DATA:
            return Piece(b"", end=True)
        chunk = read_chunk(data)
        if not chunk["choices"]:
            return Piece(b"")
        choice = chunk["choices"][0]
        finish, stop_reason = choice.get("finish_reason"), choice.get("stop_reason")
        text = self._stops.feed(self._held + (choice.get("text") or ""))
        self._held = ""
        if self._stops.met is not None:
            finish, stop_reason = "stop", self._stops.met
        elif finish is not None:
            text += self._stops.flush()
        reasoning, content = self._split(text, last=finish is not None)
        ids = choice.get("token_ids") or ()
        piece = self._stream.resumed(Rest(ids, reasoning, content, finish, stop_reason))
        if finish is not None:
            ending = closing(self._stream, self._progress, self._think_end)
            piece = Piece(piece.data + ending, piece.tokens, piece.content, end=True)
        return piece

    def _split(self, text: str, *, last: bool) -> tuple[str | None, str | None]:
        """Reasoning and content."""
        reasoning, content = self._splitter.feed(text)
        if last:
            held_reasoning, held_content = self._splitter.end()
            reasoning, content = reasoning + held_reasoning, content + held_content
        return reasoning or None, content or None


def closing(stream: ContinuableStream, progress: Progress, think_end: int | None) -> bytes:
    """The usage event of an answer that more than one server gave, counted from its tokens.

    How much of the prompt was cached is not known: the server that knew is lost.
    """
    ids = progress.ids.tolist()
    if progress.opened and think_end is not None:
        stream.usage.reasoning = count(ids, think_end)
    return stream.closing(Usage(len(progress.prompt), len(ids)).told())
