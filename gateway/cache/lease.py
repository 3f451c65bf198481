"""A leader's hold on its flight in the store."""

from __future__ import annotations

from gateway.cache.board import Board
from gateway.cache.tape import Tape
from gateway.store.redis import StoreDown


class Lease:
    """Renewed while the leader lives. Without `board`, or once lost, all it does is nothing."""

    def __init__(self, board: Board | None, place: str, me: str, tape: str = "") -> None:
        self._board = board
        self._place = place
        self._me = me
        self._tape = tape
        self._pieces = 0  # that the readers elsewhere have
        self._bytes = 0
        self._readers = 0

    def inherit(self, pieces: int, size: int) -> None:
        """The tape in the store holds `size` bytes of a dead leader: these first `pieces`."""
        self._pieces = pieces
        self._bytes = size

    async def keep(self, tape: Tape, model: str) -> int:
        """Renew it, and hand on what is new if somebody reads; the number of readers elsewhere."""
        if self._board is None:
            return 0
        knew = self._readers
        until = len(tape.pieces)
        data = b"".join(tape.pieces[self._pieces : until]) if knew else b""
        try:
            readers = await self._board.publish(
                self._place, self._me, self._tape, model=model, at=self._bytes, data=data
            )
        except StoreDown:
            return 0
        if readers < 0:
            self._board = None
            return 0
        if knew:
            self._pieces = until
            self._bytes += len(data)
        self._readers = readers
        if readers and not knew:
            return await self.keep(tape, model)
        return readers

    async def land(
        self, tape: Tape, model: str, *, ending: bytes, entry: bytes, entry_s: float
    ) -> None:
        """The answer is over: tell the readers, keep `entry` unless it is empty."""
        while self._board is not None:
            try:
                landed = await self._board.land(
                    self._place,
                    self._me,
                    self._tape,
                    ending=ending,
                    entry=entry,
                    entry_s=entry_s,
                    told=self._pieces == len(tape.pieces),
                )
            except StoreDown:
                return
            if landed != 0:
                return
            await self.keep(tape, model)

    async def give_up(self) -> bool:
        """End the flight unless somebody reads elsewhere; True if it is over."""
        if self._board is None:
            return True
        try:
            return await self._board.land(self._place, self._me, self._tape) != 0
        except StoreDown:
            return True
