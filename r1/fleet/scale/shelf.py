"""The answer cache's notice board without a Redis: for one worker, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from gateway.cache.board import Board, Joined
from gateway.store.redis import StoreDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.store.bytes import ByteStore
    from gateway.store.redis import Store


class _Answers:
    """What a ByteStore does for reading, on a dictionary: by place, with the time of its end."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: dict[str, tuple[float, bytes]] = {}

    async def get_bytes(self, key: str) -> bytes | None:
        ends, value = self._kept.get(key.removesuffix(":answer"), (0.0, b""))
        return value if self._now() < ends else None

    def keep(self, place: str, value: bytes, seconds: float) -> None:
        self._kept[place] = (self._now() + seconds, value)

    async def close(self) -> None:
        self._kept.clear()


class Shelf(Board):
    """Whoever comes leads: other workers, who could have a flight to follow, there are none of."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._answers = _Answers(now)
        super().__init__(cast("ByteStore", self._answers), lease_s=1.0)

    async def join(
        self, place: str, me: str, tape: str, *, seen: str | None, read: bool = True
    ) -> Joined:
        """The kept answer unless it is the one that was `seen`, else the lead."""
        answer = await self._answers.get_bytes(place)
        if answer is not None and seen is not None and answer[:16].decode() != seen:
            return Joined("answer", answer=answer)
        return Joined("lead", tape=tape)

    async def publish(
        self, place: str, me: str, tape: str, *, model: str, at: int, data: bytes
    ) -> int:
        """Nobody reads elsewhere."""
        return 0

    async def land(
        self,
        place: str,
        me: str,
        tape: str,
        *,
        ending: bytes = b"",
        entry: bytes = b"",
        entry_s: float = 1.0,
        told: bool = False,
    ) -> int:
        """Keep the answer."""
        if entry:
            self._answers.keep(place, entry, entry_s)
        return 1

    async def leave(self, place: str, me: str) -> None:
        """There is nothing to leave."""


class _NoStore:
    async def script(self, *words: Any) -> Any:
        raise StoreDown


def no_store() -> Store:
    """A store that is away: the retry budget then goes by the worker's own bucket, which for one
    worker is that of the fleet."""
    return cast("Store", _NoStore())
