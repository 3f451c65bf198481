"""A generation that several callers share, at one worker.

It either leads (the generation runs here) or follows (it runs at another worker, and the tape
comes through the store). Where the leader dies, a follower takes over and goes on from what was
sent. It ends when the answer does, or when nobody reads any more, here or elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from gateway.cache.endings import dump_ending
from gateway.cache.entry import TAG_LENGTH, Entry, UnreadableEntry
from gateway.cache.intake import Intake
from gateway.cache.lease import Lease
from gateway.cache.means import Generate, Means, Place
from gateway.cache.policy import lifetime_s
from gateway.cache.tape import Tape
from gateway.cache.usage import as_cached
from gateway.call import Call, Message
from gateway.errors import (
    ClientDisconnected,
    GatewayError,
    UpstreamFailed,
    UpstreamTimeout,
)
from gateway.guard import Guard
from gateway.protocol.usage import Usage
from gateway.store.redis import StoreDown

# How often a tape is written and read while somebody reads it elsewhere, and looked after else.
_QUICK_S = 0.05
_CALM_S = 0.25
# More than this is compressed beside the event loop.
_LARGE_BYTES = 128 * 1024


class Flight:
    """One shared generation. `behind`: nobody waits for it, a stale answer was given already.

    `seen` is the tag of the kept answer that will not do, "" if there is none, None if any
    other wouldn't do either.
    """

    def __init__(
        self,
        place: Place,
        origin: Call,
        generate: Generate,
        means: Means,
        *,
        seen: str | None,
        behind: bool = False,
    ) -> None:
        self.place = place
        self.origin = origin
        self.behind = behind
        self.renews = bool(seen) or seen is None
        self.open = True
        self.tape = Tape()
        self.inner: Call | None = None  # the call that generates, once this worker leads
        self.replayed: Entry | None = None
        self.model = origin.model.id
        self.usage = Usage()
        self.over = asyncio.Event()
        self._asked = origin.model
        self._stream = origin.asked.stream
        self._generate = generate
        self._means = means
        self._seen = seen
        self._me = means.make_id()
        self._callers = 0
        self._wake = asyncio.Event()
        self._abandoned = asyncio.Event()
        self._intake = Intake(self.tape, stream=self._stream)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Take off."""
        self._task = asyncio.create_task(self._fly())
        self._task.add_done_callback(self._landed)
        return self._task

    def enter(self) -> None:
        """One more caller reads."""
        self._callers += 1

    @property
    def complete(self) -> bool:
        """Whether all of the answer is on the tape: who has read it may leave."""
        return self.tape.ended or (self.inner is not None and self.inner.complete)

    def leave(self) -> None:
        """One caller less; without any the flight ends, if nobody reads elsewhere."""
        self._callers -= 1
        if self._callers or self.behind or self.complete:
            return
        self.open = False
        if self.inner is not None:
            self._wake.set()
        elif self._task is not None:
            self._task.cancel()

    def _landed(self, task: asyncio.Task[None]) -> None:
        self.open = False
        if not self.tape.ended:
            error = None if task.cancelled() else task.exception()
            self.tape.fail(error if isinstance(error, Exception) else _gone())
        self.over.set()

    async def _fly(self) -> None:
        try:
            while not await self._turn():
                pass
        except asyncio.CancelledError:
            if self.inner is None:
                with suppress(StoreDown):
                    await self._means.board.leave(self.place.key, self._me)
            raise

    async def _turn(self) -> bool:
        """Join, and do what there is to do; False if that has to be done again."""
        board, key, me = self._means.board, self.place.key, self._me
        own = me[:TAG_LENGTH]
        try:
            joined = await board.join(key, me, own, seen=self._seen, read=not self.behind)
        except StoreDown:
            if self.behind:
                self.tape.finish()
            else:
                await self._lead(Lease(None, key, me))
            return True
        if joined.what == "answer":
            await self._replay(joined.answer)
        elif joined.what == "lead":
            lease = Lease(board, key, me, joined.tape)
            if joined.tape != own:
                await self._inherit(joined.tape, lease)
            await self._lead(lease)
        elif self.behind:
            self.tape.finish()
        else:
            return await self._follow(joined.tape)
        return True

    async def _replay(self, data: bytes) -> None:
        """The answer was kept a moment ago."""
        try:
            entry = Entry.unpack(data)
        except UnreadableEntry:
            await self._lead(Lease(None, self.place.key, self._me))
            return
        self.replayed = entry
        self.usage = entry.usage
        self._intake.begin(None)
        self._intake.take(entry.body)
        self.tape.finish()

    async def _lead(self, lease: Lease) -> None:
        self.inner = self.origin.branch(self._until_abandoned, self._record)
        self.inner.model = self._asked
        self.inner.cache_result = "miss"
        if self.behind:
            # Nobody waits for its first token.
            self.inner.first_token_counted = True
        keeper = asyncio.create_task(self._keep(lease))
        try:
            error = await self._work(self.inner)
            self._end(self.inner.usage, error)
            self._wake.set()
            await keeper
        finally:
            keeper.cancel()
        if self._abandoned.is_set():
            return
        entry = b"" if error is not None else await self._entry(self.inner)
        place = self.place
        await lease.land(
            self.tape,
            self.model,
            ending=dump_ending(self.usage, error),
            entry=entry,
            entry_s=place.ttl_s + place.stale_s,
        )

    def _end(self, usage: Usage, error: GatewayError | None) -> None:
        self.usage = usage
        if error is None:
            self.tape.finish()
        else:
            self.tape.fail(error)

    async def _work(self, inner: Call) -> GatewayError | None:
        total_s = inner.model.settings.timeouts.total_s
        guard = Guard(
            inner,
            # Signs of life are each caller's own matter.
            keepalive_s=2 * total_s,
            total_s=total_s,
            too_late=UpstreamTimeout("The answer took longer than the longest one allowed."),
        )
        try:
            self._intake.begin(None)
            async with guard:
                await self._generate(inner)
        except GatewayError as error:
            return error
        except ClientDisconnected:
            return _gone()
        return None

    async def _keep(self, lease: Lease) -> None:
        """Keep the lease and the readers elsewhere supplied; give up when nobody reads."""
        while not self.tape.ended:
            self._wake.clear()
            readers = await lease.keep(self.tape, self.model)
            if not self._callers and not self.behind and not self.complete:
                self.open = False
                if not readers and await lease.give_up():
                    self._abandoned.set()
                    return
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUICK_S if readers else _CALM_S):
                    await self._wake.wait()

    async def _until_abandoned(self) -> Message:
        await self._abandoned.wait()
        return {"type": "http.disconnect"}

    async def _record(self, message: Message) -> None:
        """What the generation sends goes onto the tape."""
        if self.inner is not None:
            self.model = self.inner.model.id
        if message["type"] == "http.response.body" and message["body"]:
            self._intake.take(message["body"])

    async def _entry(self, inner: Call) -> bytes:
        """The answer to be kept; empty if it is not to be."""
        settings, now = self._means.settings, self._means.now()
        if inner.model.id != self._asked.id or self.tape.size > settings.max_answer_bytes:
            return b""
        if inner.stopped is not None:
            return b""
        fresh_s = lifetime_s(self.place.ttl_s, settings.jitter, self._means.draw())
        entry = Entry(
            tag=self._me[:TAG_LENGTH],
            stored=now,
            fresh_until=now + fresh_s,
            gone_at=now + fresh_s + self.place.stale_s,
            usage=inner.usage,
            body=as_cached(self.tape.body(), stream=self._stream),
        )
        if self.tape.size > _LARGE_BYTES:
            return await asyncio.to_thread(entry.pack, settings.compress_over_bytes)
        return entry.pack(settings.compress_over_bytes)

    async def _inherit(self, tape: str, lease: Lease) -> None:
        """Take over from a dead leader: first all that it said."""
        self._intake.begin(tape)
        board, key = self._means.board, self.place.key
        with suppress(StoreDown):
            while True:
                _, records = await board.follow(key, self._me, tape, self._intake.cursor)
                if not records:
                    break
                self._intake.read(records)
            await board.leave(key, self._me)
        if self._stream:
            lease.inherit(len(self.tape.pieces), self._intake.received)

    async def _follow(self, tape: str) -> bool:
        """Read the tape to its end; False if its leader is lost."""
        self._intake.begin(tape)
        board, key = self._means.board, self.place.key
        heard = time.monotonic()
        while True:
            try:
                state, records = await board.follow(key, self._me, tape, self._intake.cursor)
                heard = time.monotonic()
            except StoreDown:
                if time.monotonic() - heard > self._means.settings.lease_s:
                    return False
                state, records = "alive", []
            if records:
                self.model = records[0].model or self.model
            ending = self._intake.read(records)
            if ending is not None:
                self._end(ending.usage, ending.error)
                return True
            if state != "alive" and not records:
                return False
            await asyncio.sleep(_QUICK_S)


def _gone() -> UpstreamFailed:
    return UpstreamFailed("The answer was given up.")
