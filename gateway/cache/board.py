"""The notice board in Redis on which workers and gateways share generations.

A place has up to five keys:

    …:answer    the kept answer
    …:flight    a generation in progress: its tape's name, its leader, until when that one has it
    …:tape:T    what it has said so far, while others read; a stream
    …:readers   who reads, until when each counts
    …:claim     the fingerprint of an idempotency key's request

Each step is one Lua call, so nobody sees it half done: whoever looks finds an answer, a flight to
follow, or becomes the leader. Times are by Redis' own clock. Every method raises StoreDown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.store.bytes import ByteStore

_NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
"""

_JOIN = (
    _NOW
    + """
local answer, flight, readers = KEYS[1]..':answer', KEYS[1]..':flight', KEYS[1]..':readers'
local me, seen, reader_ms = ARGV[1], ARGV[3], tonumber(ARGV[6])
if seen ~= '*' then
  local tag = redis.call('GETRANGE', answer, 0, 15)
  if tag ~= '' and tag ~= seen then return {'answer', redis.call('GET', answer)} end
end
local found = redis.call('HMGET', flight, 'tape', 'until')
if found[1] and tonumber(found[2]) > now then
  if reader_ms > 0 then
    redis.call('ZADD', readers, now + reader_ms, me)
    redis.call('PEXPIRE', readers, ARGV[5])
  end
  return {'follow', found[1]}
end
local tape = found[1] or ARGV[2]
redis.call('HSET', flight, 'tape', tape, 'leader', me, 'until', now + ARGV[4])
redis.call('PEXPIRE', flight, ARGV[5])
redis.call('ZREM', readers, me)
return {'lead', tape}
"""
)

_PUBLISH = (
    _NOW
    + """
local flight, readers = KEYS[1]..':flight', KEYS[1]..':readers'
if redis.call('HGET', flight, 'leader') ~= ARGV[1] then return -1 end
redis.call('HSET', flight, 'until', now + ARGV[3])
redis.call('PEXPIRE', flight, ARGV[4])
local tape = KEYS[1]..':tape:'..ARGV[2]
if ARGV[7] ~= '' then
  redis.call('XADD', tape, '*', 'model', ARGV[5], 'at', ARGV[6], 'data', ARGV[7])
end
redis.call('PEXPIRE', tape, ARGV[4])
redis.call('ZREMRANGEBYSCORE', readers, '-inf', now)
return redis.call('ZCARD', readers)
"""
)

_LAND = (
    _NOW
    + """
local flight, readers = KEYS[1]..':flight', KEYS[1]..':readers'
local tape, ending, entry = KEYS[1]..':tape:'..ARGV[2], ARGV[3], ARGV[4]
if redis.call('HGET', flight, 'leader') ~= ARGV[1] then return -1 end
redis.call('ZREMRANGEBYSCORE', readers, '-inf', now)
if redis.call('ZCARD', readers) > 0 then
  if ARGV[6] == '0' then return 0 end
  redis.call('XADD', tape, '*', 'end', ending)
  redis.call('PEXPIRE', tape, ARGV[7])
else
  redis.call('DEL', tape)
end
if entry ~= '' and not redis.call('HGET', flight, 'purged') then
  redis.call('SET', KEYS[1]..':answer', entry, 'PX', ARGV[5])
end
redis.call('DEL', flight, readers)
return 1
"""
)

_FOLLOW = (
    _NOW
    + """
local flight, readers = KEYS[1]..':flight', KEYS[1]..':readers'
local state = 'gone'
local found = redis.call('HMGET', flight, 'tape', 'until')
if found[1] == ARGV[2] then
  state = tonumber(found[2]) > now and 'alive' or 'orphan'
  redis.call('ZADD', readers, now + ARGV[4], ARGV[1])
  redis.call('PEXPIRE', readers, ARGV[5])
end
local tape = KEYS[1]..':tape:'..ARGV[2]
return {state, redis.call('XRANGE', tape, '('..ARGV[3], '+', 'COUNT', 256)}
"""
)

_LEAVE = "return redis.call('ZREM', KEYS[1]..':readers', ARGV[1])"

_CLAIM = """
local key = KEYS[1]..':claim'
local found = redis.call('GET', key)
if found then return found end
redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

_PURGE = """
if redis.call('EXISTS', KEYS[1]..':flight') == 1 then
  redis.call('HSET', KEYS[1]..':flight', 'purged', 1)
end
return redis.call('DEL', KEYS[1]..':answer')
"""

# After its last sign of life a flight's keys stay for so many leases: time to take it over.
_KEPT_LEASES = 10
# A finished tape stays for those who have not read its end yet.
_TAIL_MS = 15_000


@dataclass(frozen=True, slots=True)
class Joined:
    """What a caller finds at a place: `answer` (an entry), or what to do with which tape."""

    what: Literal["answer", "follow", "lead"]
    tape: str = ""
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a tape: a piece of the answer, or its end."""

    cursor: str
    at: int = 0
    data: bytes = b""
    model: str = ""
    ending: bytes | None = None


State = Literal["alive", "orphan", "gone"]


class Board:
    """The steps of a flight. `me` is unique to one flight at one worker."""

    def __init__(self, store: ByteStore, *, lease_s: float) -> None:
        self.store = store
        self._lease_ms = int(lease_s * 1000)
        self._kept_ms = self._lease_ms * _KEPT_LEASES

    async def join(
        self, place: str, me: str, tape: str, *, seen: str | None, read: bool = True
    ) -> Joined:
        """Find what is at a place, or become its leader, with `tape` unless one is left behind.

        An answer counts unless its tag is `seen`; None: no kept answer will do. `read`: be counted
        as a reader where there is something to follow.
        """
        reader_ms = self._lease_ms if read else 0
        words = (me, tape, "*" if seen is None else seen, self._lease_ms, self._kept_ms, reader_ms)
        what, value = await self.store.script("cache", _JOIN, place, words)
        if what == b"answer":
            return Joined("answer", answer=value)
        return Joined("follow" if what == b"follow" else "lead", tape=value.decode())

    async def publish(
        self, place: str, me: str, tape: str, *, model: str, at: int, data: bytes
    ) -> int:
        """Keep the lease, and add `data` to the tape, which lies `at` so many bytes from its start.

        The number of readers, -1 if the lease is lost.
        """
        words = (me, tape, self._lease_ms, self._kept_ms, model, at, data)
        readers: int = await self.store.script("cache", _PUBLISH, place, words)
        return readers

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
        """End the flight, keep `entry` for `entry_s`; 1 if done, -1 if the lease was lost.

        0: there are readers and not all was published (`told`), so nothing was done.
        """
        words = (me, tape, ending, entry, max(1, int(entry_s * 1000)), int(told), _TAIL_MS)
        landed: int = await self.store.script("cache", _LAND, place, words)
        return landed

    async def follow(
        self, place: str, me: str, tape: str, cursor: str
    ) -> tuple[State, list[Record]]:
        """Stay counted as a reader; how the flight is, and what came after `cursor`."""
        words = (me, tape, cursor, self._lease_ms, self._kept_ms)
        state, rows = await self.store.script("cache", _FOLLOW, place, words)
        return state.decode(), [_record(row) for row in rows]

    async def leave(self, place: str, me: str) -> None:
        """Be counted as a reader no more."""
        await self.store.script("cache", _LEAVE, place, (me,))

    async def claim(self, place: str, fingerprint: str, keep_s: float) -> str:
        """The fingerprint that was there first."""
        words = (fingerprint, int(keep_s * 1000))
        first: bytes = await self.store.script("cache", _CLAIM, place, words)
        return first.decode()

    async def purge(self, place: str) -> bool:
        """Drop the kept answer, and the one that a flight in progress would keep."""
        return bool(await self.store.script("cache", _PURGE, place, ()))


def _record(row: tuple[bytes, list[bytes]]) -> Record:
    cursor, words = row
    fields = dict(zip(words[::2], words[1::2], strict=True))
    return Record(
        cursor=cursor.decode(),
        at=int(fields.get(b"at", 0)),
        data=fields.get(b"data", b""),
        model=fields.get(b"model", b"").decode(),
        ending=fields.get(b"end"),
    )
