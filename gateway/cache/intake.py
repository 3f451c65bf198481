"""What comes onto a tape, from one source after another where a source is lost."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from gateway.cache.board import Record
from gateway.cache.endings import load_ending
from gateway.cache.splice import Diverged, Splice
from gateway.cache.tape import Tape
from gateway.errors import GatewayError, UpstreamLost
from gateway.protocol.usage import Usage


@dataclass(frozen=True, slots=True)
class Ending:
    """How a tape in the store ended."""

    usage: Usage
    error: GatewayError | None


class Intake:
    """Fills a tape. `stream`: its answer is given to callers while it grows."""

    def __init__(self, tape: Tape, *, stream: bool) -> None:
        self._tape = tape
        self._stream = stream
        self._splice: Splice | None = None
        self._source: str | None = None
        self.cursor = "0-0"
        """The last record that was read of a tape in the store."""
        self.received = 0
        """Bytes that were read of it."""

    def begin(self, source: str | None) -> None:
        """From here on the answer comes from `source`, a tape in the store, or None: from here.

        Another source than before begins at the answer's beginning. Raises UpstreamLost if it
        can't go on with what is there.
        """
        if source is not None and source == self._source:
            return
        self._source, self.cursor, self.received = source, "0-0", 0
        if not self._stream:
            # Nobody was given anything of it.
            self._tape.clear()
        elif self._tape.size:
            try:
                self._splice = Splice(self._tape.body())
            except Diverged:
                raise _cannot_go_on() from None

    def take(self, data: bytes) -> None:
        """A piece of the answer. Raises UpstreamLost if it is another answer's."""
        try:
            self._tape.write(data if self._splice is None else self._splice.feed(data))
        except (Diverged, orjson.JSONDecodeError):
            raise _cannot_go_on() from None

    def read(self, records: list[Record]) -> Ending | None:
        """What a tape in the store says; its ending, if it is among it. Raises UpstreamLost."""
        for record in records:
            self.cursor = record.cursor
            if record.ending is not None:
                return Ending(*load_ending(record.ending))
            if not self._stream:
                # It comes whole, and again where its leader was lost before the end.
                self._tape.clear()
                self.take(record.data)
                continue
            # A write that was answered too late may have been made twice.
            known = max(0, self.received - record.at)
            self.received = max(self.received, record.at + len(record.data))
            self.take(record.data[known:])
        return None


def _cannot_go_on() -> UpstreamLost:
    return UpstreamLost(
        "The gateway that made this answer was lost, and another try began differently."
    )
