"""The places at a model's replicas, as one worker knows and trades them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.batching.board import Board, Claim, Offer, OwnBoard, Standing
from gateway.batching.rate import Rate
from gateway.batching.stand import Stand
from gateway.batching.strain import Strain
from gateway.batching.window import adjust, start
from gateway.batching_settings import Batching
from gateway.store.redis import StoreDown
from gateway.upstream.pool import Pool, Upstream

_RATE_S = 10.0


class Ground:
    """Stands for all replicas, and the trade with those of other workers."""

    def __init__(
        self,
        name: str,
        pool: Pool,
        settings: Batching,
        board: Board,
        *,
        workers: int,
    ) -> None:
        """Args: `name` is the model's on the board; `workers` are at least there."""
        self._name = name
        self._pool = pool
        self._settings = settings
        self._board = board
        self._workers = workers
        self._own = OwnBoard(workers)
        self._now = pool.now
        self._strains: dict[str, Strain] = {}
        self._windows: dict[str, float] = {}
        self._loud = False
        self._arrivals_elsewhere = 0.0
        self.stands: dict[str, Stand] = {}
        """By URL."""
        self.arrivals = Rate(_RATE_S)
        self.others = 0
        """Requests that wait in other workers."""
        self.hungry: Counter[str] = Counter()
        """Keys whose requests wait in other workers, with the places they have there."""
        self.owed = 0
        """Places that are to go to other workers when they come free."""

    @property
    def window(self) -> float:
        """Of one replica, on average over all."""
        stands = self.stands.values()
        return sum(each.window for each in stands) / max(1, len(stands))

    @property
    def used(self) -> int:
        """Requests of this worker that have a place."""
        return sum(each.used for each in self.stands.values())

    @property
    def held(self) -> int:
        """Places of this worker."""
        return sum(each.held for each in self.stands.values())

    @property
    def free(self) -> int:
        """Places that this worker may have at once, or for the asking."""
        return sum(each.idle + each.room for each in self.stands.values())

    def stand(self, upstream: Upstream) -> Stand:
        """The one at an upstream."""
        stand = self.stands.get(upstream.url)
        if stand is None or stand.upstream is not upstream:
            first = Stand(upstream, self._settings, float(self._start()))
            stand = self.stands[upstream.url] = first
        return stand

    async def trade(
        self,
        homes: Sequence[Upstream | None],
        keys: Mapping[str, int],
        keep: Callable[[Stand], int],
        *,
        full: bool,
    ) -> bool:
        """Give back and ask for places; True if there is more to say at once.

        Args:
            keys: of those who wait, with the places that they have here.
            homes: of each who waits, where it would like to go.
            keep: idle places to keep at a stand for those to come.
            full: an interval is over: tell what was seen, and look at the windows.
        """
        offer = self._offer(homes, keys, keep, full=full)
        try:
            standing = await self._board.trade(self._name, offer)
        except StoreDown:
            standing = await self._own.trade(self._name, offer)
        else:
            self._own.workers = max(self._workers, len(standing.states) + 1)
            for url, place in standing.places.items():
                self._own.know(url, place.window)
        self._windows = {}
        for url, place in standing.places.items():
            self.stands[url].stands(place)
        # What is kept for the next requests is for those who wait elsewhere.
        wanted = bool(standing.others) and not self.others
        self.others = standing.others
        self._hear(standing.states, len(homes))
        if full and standing.chief:
            self._set_windows(standing, waiting=bool(homes) or standing.others > 0)
        return wanted or bool(self._windows)

    def forget(self) -> None:
        """Forget the replicas that are gone."""
        known = {each.url: each for each in self._pool.upstreams}
        for url, stand in list(self.stands.items()):
            if known.get(url) is not stand.upstream and not stand.used:
                del self.stands[url]
                self._strains.pop(url, None)

    def _start(self) -> int:
        ready = max(1, sum(each.usable(self._now()) for each in self._pool.upstreams))
        rate = (self.arrivals.value + self._arrivals_elsewhere) / ready
        return start(rate, self._settings)

    def _offer(
        self,
        homes: Sequence[Upstream | None],
        keys: Mapping[str, int],
        keep: Callable[[Stand], int],
        *,
        full: bool,
    ) -> Offer:
        waiting = len(homes)
        if waiting:
            # One that has just come or recovered has places for those who wait.
            for each in self._pool.candidates(self._now()):
                self.stand(each)
        wanted = Counter(self._wanted(homes))
        begin = self._start()
        claims = []
        for url, stand in self.stands.items():
            wish = stand.used + wanted[url]
            if stand.upstream.usable(self._now()):
                wish += keep(stand)
            # What is given back is so at once: the answer comes later.
            stand.held = min(stand.held, wish)
            claims.append(Claim(url, stand.used, wish, begin))
        report = None
        if full:
            told = {url: each.told() for url, each in self.stands.items()}
            report = {url: each for url, each in told.items() if each is not None}
        state = {
            "used": {url: each.used for url, each in self.stands.items() if each.used},
            "waiting": waiting,
            "keys": keys,
            "rate": round(self.arrivals.value, 3),
        }
        loud, self._loud = bool(waiting) and not self._loud, bool(waiting)
        return Offer(claims, waiting, state, report, self._windows, loud)

    def _wanted(self, homes: Sequence[Upstream | None]) -> list[str]:
        """Where those who wait go: home; else where there is room; else anywhere."""
        rooms = [url for url, each in self.stands.items() if each.room or each.idle]
        wanted = []
        for number, home in enumerate(homes):
            if home is not None and home.url in self.stands:
                wanted.append(home.url)
            elif rooms:
                wanted.append(rooms[number % len(rooms)])
            else:
                wanted += list(self.stands)
        return wanted

    def _hear(self, states: Sequence[Any], waiting: int) -> None:
        """What the other workers say of themselves."""
        used: Counter[str] = Counter()
        rate = 0.0
        self.hungry = Counter()
        for state in states:
            used.update(state["used"])
            self.hungry.update(state["keys"])
            rate += state["rate"]
        self._arrivals_elsewhere = rate
        for url, stand in self.stands.items():
            stand.elsewhere = used[url]
        self.owed = 0
        if self.others:
            own, elsewhere = self.used, used.total()
            want = own + waiting
            part = want / (want + elsewhere + self.others)
            # Workers share places as they share requests: the next ones that come free here are
            # for those who have less than their part.
            self.owed = max(0, own - 1 - int((own + elsewhere) * part))

    def _set_windows(self, standing: Standing, *, waiting: bool) -> None:
        """Decide the windows for all workers; they are told with the next trade."""
        settings = self._settings
        for url, stand in self.stands.items():
            strain = self._strains.get(url)
            if strain is None:
                strain = self._strains[url] = Strain(settings)
            seen = [each[url] for each in standing.reports if url in each]
            strain.add(
                [_counts(each["gaps"]) for each in seen], [_counts(each["firsts"]) for each in seen]
            )
            capacity = stand.upstream.capacity or settings.capacity
            reading = strain.read(waiting=waiting)
            if settings.mode == "strict" or (reading.gaps is None and not waiting):
                window = float(min(capacity, max(self._start(), 1)))
                if settings.mode == "auto":
                    window = max(window, stand.window)
            else:
                window = adjust(stand.window, reading, capacity, settings)
            if window != stand.window:
                self._windows[url] = window


def _counts(told: dict[Any, Any]) -> dict[int, tuple[float, float]]:
    return {int(place): (times, inside) for place, (times, inside) in told.items()}
