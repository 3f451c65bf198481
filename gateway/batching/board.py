"""Where all workers of all gateways share out the places at a model's replicas.

Each worker holds places, uses some of them and keeps a few for the next request, so that one that
finds a place costs no store trip. A worker that ends without a word loses its places when its
lease is over. Places that become free go to the worker that has waited longest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from gateway.batching.lua import TRADE
from gateway.store.redis import Store


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker says of one replica: places it uses and would like to hold, and the window
    to begin with where there is none."""

    url: str
    used: int
    wish: int
    start: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker says: its claims, how many of its requests wait, and more for the others.

    `state` tells the others of it; `report` is what its users saw, for the worker that sets the
    windows; `windows` are new ones. `loud`: others who hold places they don't use may give them.
    """

    claims: Sequence[Claim]
    waiting: int
    state: Mapping[str, Any]
    report: Mapping[str, Any] | None = None
    windows: Mapping[str, float] = field(default_factory=dict)
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """How a replica stands: its window, the places given to all, and those that are ours."""

    window: float
    total: int
    held: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer to an offer. `chief`: this worker sets the windows, going by all `reports`.

    `others`: how many requests wait elsewhere; `states`: of the other workers.
    """

    places: Mapping[str, Place]
    chief: bool
    others: int
    states: Sequence[Mapping[str, Any]]
    reports: Sequence[Mapping[str, Any]]


class Board(Protocol):
    """Gives out places."""

    async def trade(self, name: str, offer: Offer) -> Standing:
        """Give back, ask for and get places, all at once. Raises StoreDown."""

    async def leave(self, name: str) -> None:
        """Give everything back, for good. Raises StoreDown."""


class SharedBoard:
    """The one of all workers, in the store."""

    def __init__(self, store: Store, worker: str, *, lease_s: float) -> None:
        """Args: `worker` is unique in the fleet; its places are lost `lease_s` after its last
        trade."""
        self._store = store
        self._worker = worker
        self._lease_ms = round(lease_s * 1000)

    async def trade(self, name: str, offer: Offer) -> Standing:
        """Give back, ask for and get places, all at once. Raises StoreDown."""
        return await self._trade(name, offer, self._lease_ms)

    async def leave(self, name: str) -> None:
        """Give everything back, for good. Raises StoreDown."""
        await self._trade(
            name, Offer((), 0, {"used": {}, "waiting": 0, "keys": {}, "rate": 0.0}), 0
        )

    async def _trade(self, name: str, offer: Offer, lease_ms: int) -> Standing:
        words: list[Any] = [
            self._worker,
            lease_ms,
            offer.waiting,
            orjson.dumps(offer.state),
            b"" if offer.report is None else orjson.dumps(offer.report, option=_KEYS),
            len(offer.windows),
            int(offer.loud),
            name,
        ]
        for url, window in offer.windows.items():
            words += [url, window]
        words.append(len(offer.claims))
        for claim in offer.claims:
            words += [claim.url, claim.used, claim.wish, claim.start]
        key = f"r1:places:{name}"
        places, chief, others, states, reports = await self._store.script(
            "places", TRADE, (key, f"{key}:seen"), words
        )
        return Standing(
            {
                claim.url: Place(float(window), total, held)
                for claim, (window, total, held) in zip(offer.claims, places, strict=True)
            },
            bool(chief),
            others,
            [orjson.loads(state) for state in states],
            [orjson.loads(report) for report in reports],
        )


_KEYS = orjson.OPT_NON_STR_KEYS


class OwnBoard:
    """A worker's own share of the places, for the time without a store; and for one worker."""

    def __init__(self, workers: int) -> None:
        """Args: the places are shared among so many `workers`."""
        self._windows: dict[str, float] = {}
        self.workers = workers

    def know(self, url: str, window: float) -> None:
        """The window that was shared last."""
        self._windows[url] = window

    async def trade(self, name: str, offer: Offer) -> Standing:
        """As the other board, without asking anybody."""
        self._windows.update(offer.windows)
        places = {}
        for claim in offer.claims:
            window = self._windows.setdefault(claim.url, float(claim.start))
            own = max(1, int(window / self.workers))
            held = max(claim.used, min(claim.wish, own))
            places[claim.url] = Place(window, held, held)
        return Standing(places, True, 0, [], [] if offer.report is None else [offer.report])

    async def leave(self, name: str) -> None:
        """There is nobody to give anything back to."""
