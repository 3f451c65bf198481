"""One streamed answer on its way to its caller, over as many model servers as it takes."""

from __future__ import annotations

from typing import Any

from gateway.call import Call
from gateway.protocol import sse
from gateway.protocol.chat_stream import ChatStream
from gateway.protocol.continuation import Progress, Stops, stops_of, why_not
from gateway.protocol.continued import Continued, closing
from gateway.protocol.request import OPENAI_CHUNKS
from gateway.protocol.stream import ContinuableStream, Piece, StreamTranslator
from gateway.telemetry import first_token
from gateway.telemetry.metrics import Metrics
from gateway.upstream.faults import UNREADABLE, lost, unreadable
from gateway.upstream.pulse import Pulse
from gateway.upstream.visit import Visit


class Delivery:
    """Translates a model server's events and sends them on.

    Nothing is sent before the first event with text or an end in it: until then a fault still
    has its own status, and the whole request can be repeated. From then on the answer can only be
    continued, if `progress` is kept: it is where the request allows that.
    """

    def __init__(self, call: Call, metrics: Metrics) -> None:
        self._call = call
        self._metrics = metrics
        self._stream: StreamTranslator | None = None
        self._reader: StreamTranslator | Continued | None = None
        self._pulse: Pulse | None = None
        self._opening: list[bytes] = []
        self._think_end: int | None = None
        self._said = False
        self.loops = False
        """The answer repeats itself; nothing more of it is taken."""
        self.progress: Progress | None = None
        self.resumes = 0
        self.tokens = 0
        """Of the answer so far."""

    @property
    def begun(self) -> bool:
        """Whether some of the answer was delivered and it can be continued."""
        return self._call.delivered and self.progress is not None and self.progress.begun

    def begin(self, visit: Visit, body: dict[str, Any]) -> None:
        """Expect a whole answer to `body`."""
        call, upstream = self._call, visit.upstream
        self._stream = upstream.dialect.stream(call.asked, call.model.id, upstream.think_end)
        self._reader = self._stream
        self._think_end = upstream.think_end
        self._pulse = Pulse(call, self._metrics, visit.witness)
        self._opening = []
        self._said = self.loops = False
        self.progress = None
        if isinstance(self._stream, ContinuableStream) and why_not(call.asked, body) is None:
            self.progress = self._stream.progress = Progress(chat=call.api == "chat")
            self.progress.room = body.get("max_completion_tokens") or body.get("max_tokens")
        call.usage = self._stream.usage

    def go_on(self, visit: Visit, progress: Progress, held: str) -> None:
        """Expect the rest; `held` is text whose tokens came but which did not pass yet."""
        if self._pulse is None or not isinstance(self._stream, ContinuableStream):
            raise RuntimeError("an answer that did not begin can't go on")
        self._pulse.move(visit.witness)
        stops = Stops(stops_of(self._call.asked.body))
        self._reader = Continued(
            self._stream, progress, stops, held=held, think_end=self._think_end
        )

    async def take(self, events: list[bytes]) -> bool:
        """Send these events on; True when no more is to come. Raises UpstreamError.

        The answer is complete then, unless it `loops`.
        """
        out: list[bytes] = []
        ended = content = False
        before = self.tokens
        try:
            at = 0
            while at < len(events):
                piece, at = self._read(events, at)
                content = content or piece.content
                if piece.data:
                    out.append(piece.data)
                if piece.end:
                    ended = True
                    break
                if self._turns_round():
                    self.loops = True
                    break
        finally:
            if self.tokens > before and self._pulse is not None:
                self._pulse.beat(self.tokens - before, content=content)
            # What came before a fault in the same piece is still the caller's.
            await self._send(out)
        if not ended:
            return self.loops
        if self._reader is None or not self._reader.finished:
            raise lost()
        await self._end()
        return True

    async def stop(self, why: str) -> None:
        """End the answer here, as its model server would have."""
        if self._stream is None:
            raise RuntimeError("nothing is expected yet")
        await self._send([self._stream.stop(why)])
        await self._end()

    def pass_on(self, stream: bytes) -> int:
        """Send on the tokens that a piece of a stream begins with, in the middle of an answer
        that flows; how many of its bytes that were."""
        call, reader = self._call, self._reader
        if self._pulse is None or not isinstance(reader, ChatStream):
            return 0
        if not (call.delivered and call.flows) or call.asked.heard is not None:
            return 0
        taken = reader.pieces(stream)
        if taken is None:
            return 0
        piece, size = taken
        call.flow(piece.data)
        self.tokens += piece.tokens
        self._pulse.beat(piece.tokens, content=piece.content)
        return size

    async def saved(self) -> bool:
        """End an answer that lacked nothing but its end when its server was lost."""
        if self.progress is None or not isinstance(self._stream, ContinuableStream):
            return False
        if not self._stream.finished:
            return False
        await self._send([closing(self._stream, self.progress, self._think_end)])
        await self._end()
        return True

    def _read(self, events: list[bytes], at: int) -> tuple[Piece, int]:
        """The next event, or some of them at once, and the place behind them."""
        if self._reader is None:
            raise RuntimeError("nothing is expected yet")
        try:
            if isinstance(self._reader, ChatStream):
                piece, at = self._reader.run(events, at)
            else:
                piece, at = self._reader.event(events[at]), at + 1
        except UNREADABLE as error:
            raise unreadable() from error
        self.tokens += piece.tokens
        self._said = self._said or piece.tokens > 0
        return piece, at

    def _turns_round(self) -> bool:
        heard = self._call.asked.heard
        if heard is None or not heard.loops:
            return False
        return self._stream is not None and not self._stream.finished

    async def _send(self, out: list[bytes]) -> None:
        if not self._call.delivered:
            out = self._opening + out
            said = self._said if self.progress is None else self.progress.begun
            finished = self._stream is not None and self._stream.finished
            # What loops may yet be asked for once more.
            if not finished and (self.loops or not said):
                self._opening = out
                return
            self._opening = []
        if out:
            if not self._call.delivered:
                self._call.delivered = True
                first_token.sent(self._call, self._metrics)
            await self._call.start_stream()
            await self._call.write(b"".join(out))

    async def _end(self) -> None:
        await self._call.start_stream()
        await self._call.end(sse.DONE if self._call.api in OPENAI_CHUNKS else b"")
