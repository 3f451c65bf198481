"""The door of one model in one worker: who goes in, who waits, who is told to come back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from gateway.batching.board import Board
from gateway.batching.ground import Ground
from gateway.batching.guest import Guest, Turn
from gateway.batching.hopeless import Pace, back_after
from gateway.batching.queue import Entry, FairQueue
from gateway.batching.shares import Shares
from gateway.batching.stand import Stand
from gateway.batching_settings import Batching
from gateway.errors import Overloaded
from gateway.telemetry.metrics import Metrics
from gateway.upstream.pool import Pool, Upstream
from gateway.upstream.visit import Visit

_KEYS_TOLD = 8
_RESTING_S = 10.0
"""After so long without requests a worker gives its places back and trades no more."""


class Lane:
    """The queue in front of a model, and the way in."""

    def __init__(
        self,
        model: str,
        pool: Pool,
        settings: Batching,
        board: Board,
        metrics: Metrics,
        *,
        name: str,
        workers: int,
    ) -> None:
        """Args: `name` is the lane's on the board; `workers` are at least there."""
        self._model = model
        self.name = name
        self.ground = Ground(name, pool, settings, board, workers=workers)
        self._pool = pool
        self._settings = settings
        self._metrics = metrics
        self._now = pool.now
        self._queue: FairQueue[Turn] = FairQueue(settings.aging_s)
        self._shares = Shares()
        self._pace = Pace()
        self._due = asyncio.Event()
        self._looked = self._busy_at = pool.now()

    async def enter(self, guest: Guest) -> Visit:
        """A visit at a replica that has a place, now or when its turn has come.

        Raises UpstreamUnavailable if no replica is left for it, Overloaded if waiting is no use.
        """
        now = self._now()
        self._busy_at = now
        among = self._pool.candidates(now, guest.tried, continuing=guest.continuing)
        if not among:
            raise self._pool.nobody(continuing=guest.continuing)
        if not guest.continuing and not guest.tried:
            self.ground.arrivals.count()
            self._shares.ask(guest.key)
        if (guest.continuing or not len(self._queue)) and (visit := self._at_once(guest, among)):
            return visit
        return await self._wait(guest)

    def wake(self) -> None:
        """Places may be had, or are asked for."""
        self._due.set()

    async def run(self) -> None:
        """Trade places for as long as the worker runs."""
        while True:
            resting = self._now() - self._busy_at > _RESTING_S and not self.occupied
            # A lane at rest has given back what it held, and sleeps until somebody comes.
            wait_s = None if resting else self._looked + self._settings.interval_s - self._now()
            # Not wait_for: until Python 3.12 it forgets a cancellation that comes with the wake.
            with suppress(TimeoutError):
                async with asyncio.timeout(None if wait_s is None else max(0, wait_s)):
                    await self._due.wait()
            self._due.clear()
            await self._trade()

    @property
    def waiting(self) -> int:
        """Requests that have no place yet."""
        return len(self._queue)

    @property
    def occupied(self) -> bool:
        """Whether anybody is inside or waits, or places are held."""
        return bool(len(self._queue) or self.ground.held or self.ground.used)

    # Who goes in

    def _at_once(self, guest: Guest, among: Sequence[Upstream]) -> Visit | None:
        stands = [self.ground.stand(each) for each in among]
        rooms = [each.upstream for each in stands if each.idle or each.room]
        if not rooms:
            return None
        # Where it belongs first; a place that another replica has is no reason to leave it.
        guest.home = self._pool.choose(guest.conversation, rooms)
        stand = self.ground.stand(guest.home)
        if not stand.idle or not self._may(guest):
            return None
        return self._let_in(guest, stand)

    def _may(self, guest: Guest) -> bool:
        if guest.continuing:
            return True
        return self._shares.may(guest.key, self.ground.free, self._places)

    @property
    def _places(self) -> int:
        """That this worker has or may have."""
        return self.ground.used + self.ground.free

    def _let_in(self, guest: Guest, stand: Stand) -> Visit:
        now = self._now()
        stand.used += 1
        self._shares.enter(guest.key)
        if len(self._queue) and (prefix := guest.prefix()) is not None:
            stand.recent.append(prefix)
        return Visit(self._pool, stand.upstream, now, stand, self._left(guest, stand, now))

    def _left(self, guest: Guest, stand: Stand, entered: float) -> Callable[[], None]:
        def left() -> None:
            now = self._busy_at = self._now()
            self._pace.left(now - entered)
            stand.left()
            self._shares.leave(guest.key)
            if self.ground.owed > 0:
                self.ground.owed -= 1
            else:
                self._fill()
            if self.ground.others and stand.idle:
                self._due.set()

        return left

    # Who waits

    async def _wait(self, guest: Guest) -> Visit:
        now, settings = self._now(), self._settings
        entry = Entry(
            guest.tenant, guest.key, guest.priority, now, Turn(guest), urgent=guest.continuing
        )
        if not entry.urgent:
            self._refuse(entry)
        self._queue.add(entry)
        self._due.set()
        turn = entry.what
        depth = self._metrics.queueing(self._model, guest.priority)
        depth.add(1)
        try:
            async with asyncio.timeout(min(settings.longest_wait_s, max(0.0, guest.time_left))):
                visit = await turn.given
        except TimeoutError:
            raise self._overloaded("queue_wait", "No place came free in time.", entry) from None
        except asyncio.CancelledError:
            if turn.given.done() and not turn.given.cancelled() and not turn.given.exception():
                turn.given.result().end(worked=False)
            raise
        finally:
            depth.add(-1)
            self._queue.remove(entry)
        self._metrics.waited(self._model, guest.priority, self._now() - now, guest.trace)
        return visit

    def _refuse(self, entry: Entry[Turn]) -> None:
        """Raise Overloaded for one who would wait in vain, or for another in its stead."""
        wait_s = self._wait_s(entry)
        bound_s = min(self._settings.longest_wait_s, entry.what.guest.time_left)
        if wait_s is not None and (back_s := back_after(wait_s, bound_s)) is not None:
            raise self._overloaded("queue_deadline", "The queue is too long.", entry, back_s)
        if len(self._queue) < self._settings.queue:
            return
        last = self._queue.longest()
        own = self._queue.waiting(entry.tenant, entry.key)
        if last is None or self._queue.waiting(last.tenant, last.key) <= own + 1:
            raise self._overloaded("queue_full", "The queue is full.", entry, wait_s)
        # Whoever fills the queue makes room for those who do not.
        self._queue.remove(last)
        if not last.what.given.done():
            last.what.given.set_exception(
                self._overloaded("queue_full", "The queue is full.", last, wait_s, hog=True)
            )

    def _wait_s(self, entry: Entry[Turn]) -> float | None:
        """Until its turn: behind those who go before it, and behind its key's own requests."""
        places = self._places
        ahead = self._queue.ahead(entry.tenant, entry.key)
        own = self._queue.waiting(entry.tenant, entry.key)
        turn_s = self._pace.wait_s(ahead, places)
        own_s = self._pace.wait_s(own, self._shares.most(entry.key, places))
        return None if turn_s is None or own_s is None else max(turn_s, own_s)

    def _overloaded(
        self,
        reason: str,
        what: str,
        entry: Entry[Turn],
        back_s: float | None = None,
        *,
        hog: bool = False,
    ) -> Overloaded:
        self._metrics.rejected(self._model, reason)
        own = self._queue.waiting(entry.tenant, entry.key)
        # Who has most of the queue is asked to slow down; the others meet an overload.
        hog = hog or own < len(self._queue) < 2 * own
        if back_s is None:
            back_s = self._pace.wait_s(len(self._queue), self._places)
        if back_s is None:
            back_s = self._settings.longest_wait_s
        text = f"The model is overloaded: {what} Try again in {max(1, round(back_s))} s."
        return Overloaded(text, hog=hog, retry_after_s=back_s)

    def _fill(self) -> None:
        """Give all idle places to those who wait."""
        if not len(self._queue):
            return
        now = self._now()
        for stand in self.ground.stands.values():
            while stand.idle and (entry := self._next(stand, now)) is not None:
                if not entry.what.given.done():
                    entry.what.given.set_result(self._let_in(entry.what.guest, stand))

    def _next(self, stand: Stand, now: float) -> Entry[Turn] | None:
        upstream = stand.upstream

        def may(entry: Entry[Turn]) -> bool:
            guest = entry.what.guest
            return self._may(guest) and upstream in self._pool.candidates(
                now, guest.tried, continuing=guest.continuing
            )

        def liked(entry: Entry[Turn]) -> bool:
            return entry.what.prefix in stand.recent

        return self._queue.take(now, may, liked)

    # Places

    async def _trade(self) -> None:
        now = self._now()
        seconds = now - self._looked
        full = seconds >= self._settings.interval_s
        if full:
            self._looked = now
            self.ground.arrivals.passed(seconds)
            reserve_s = self._settings.reserve_s
            remembered = 0.5 ** (seconds / reserve_s) if reserve_s else 0.0
            self._shares.fade(remembered, self._pace.going(seconds))
            self.ground.forget()
        homes = [entry.what.guest.home for entry in self._queue]
        keys = self._hungry()
        if await self.ground.trade(homes, keys, self._keeping(keys), full=full):
            self._due.set()
        self._fill()
        if full:
            self._metrics.batch(
                self._model,
                window=self.ground.window,
                size=self.ground.used,
                rate=self.ground.arrivals.value,
            )

    def _hungry(self) -> dict[str, int]:
        """Some keys of those who wait, with the places that they have."""
        keys: dict[str, int] = {}
        for entry in self._queue:
            keys.setdefault(entry.key, self._shares.inside(entry.key))
            if len(keys) == _KEYS_TOLD:
                break
        return keys

    def _keeping(self, keys: Mapping[str, int]) -> Callable[[Stand], int]:
        """Tells how many places to keep at a stand for the next requests: none that others want.
        `keys` wait here."""
        if self._now() - self._busy_at > _RESTING_S:
            return lambda stand: 0
        if len(self._queue) or self.ground.others:
            hungry = Counter(keys)
            hungry.update(self.ground.hungry)
            places = sum(int(each.window) for each in self.ground.stands.values())
            most = self._shares.kept_here(hungry, places)
            return lambda stand: min(stand.idle, most)
        return lambda stand: 1 + stand.used // 4
