"""One streamed answer on its way to its caller, over as many model servers as it takes."""

from __future__ import annotations

from typing import Any

from gateway.call import Call
from gateway.protocol import sse
from gateway.protocol.continuation import Progress, Stops, stops_of, why_not
from gateway.protocol.continued import Continued, closing
from gateway.protocol.request import OPENAI_CHUNKS
from gateway.protocol.stream import ContinuableStream, Piece, StreamTranslator
from gateway.telemetry.metrics import Metrics
from gateway.upstream.faults import lost
from gateway.upstream.pool import Upstream
from gateway.upstream.pulse import Pulse


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
        self.progress: Progress | None = None
        self.resumes = 0
        self.tokens = 0
        """Of the answer so far."""

    @property
    def begun(self) -> bool:
        """Whether some of the answer's text has passed and it can be continued."""
        return self.progress is not None and self.progress.begun

    def begin(self, upstream: Upstream, body: dict[str, Any]) -> None:
        """Expect a whole answer to `body`."""
        call = self._call
        self._stream = upstream.dialect.stream(call.asked, call.model.id, upstream.think_end)
        self._reader = self._stream
        self._think_end = upstream.think_end
        self._pulse = Pulse(call, self._metrics)
        self._opening = []
        self.progress = None
        if isinstance(self._stream, ContinuableStream) and why_not(call.asked, body) is None:
            self.progress = self._stream.progress = Progress(chat=call.api == "chat")
            self.progress.room = body.get("max_completion_tokens") or body.get("max_tokens")
        call.usage = self._stream.usage

    def go_on(self, progress: Progress, held: str) -> None:
        """Expect the rest; `held` is text whose tokens came but which did not pass yet."""
        if not isinstance(self._stream, ContinuableStream):
            raise RuntimeError("an answer that did not begin can't go on")
        stops = Stops(stops_of(self._call.asked.body))
        self._reader = Continued(
            self._stream, progress, stops, held=held, think_end=self._think_end
        )

    async def take(self, events: list[bytes]) -> bool:
        """Send these events on; True when the answer is complete. Raises UpstreamError."""
        out: list[bytes] = []
        ended = False
        try:
            for data in events:
                piece = self._read(data)
                if piece.data:
                    out.append(piece.data)
                if piece.end:
                    ended = True
                    break
        finally:
            # What came before a fault in the same piece is still the caller's.
            await self._send(out)
        if not ended:
            return False
        if self._reader is None or not self._reader.finished:
            raise lost()
        await self._end()
        return True

    async def saved(self) -> bool:
        """End an answer that lacked nothing but its end when its server was lost."""
        if self.progress is None or not isinstance(self._stream, ContinuableStream):
            return False
        if not self._stream.finished:
            return False
        await self._send([closing(self._stream, self.progress, self._think_end)])
        await self._end()
        return True

    def _read(self, data: bytes) -> Piece:
        if self._reader is None or self._pulse is None:
            raise RuntimeError("nothing is expected yet")
        piece = self._reader.event(data)
        if piece.tokens:
            self.tokens += piece.tokens
            prompt = self._reader.usage.prompt
            self._pulse.beat(piece.tokens, content=piece.content, prompt=prompt)
        return piece

    async def _send(self, out: list[bytes]) -> None:
        if not self._call.delivered:
            out = self._opening + out
            said = self.tokens if self.progress is None else self.begun
            if self._stream is None or not (said or self._stream.finished):
                self._opening = out
                return
            self._opening = []
        if out:
            self._call.delivered = True
            await self._call.start_stream()
            await self._call.write(b"".join(out))

    async def _end(self) -> None:
        await self._call.start_stream()
        await self._call.end(sse.DONE if self._call.api in OPENAI_CHUNKS else b"")
