"""Those who come to a model's door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gateway.auth.terms import Priority
from gateway.telemetry.trace import Trace
from gateway.upstream.pool import Upstream
from gateway.upstream.visit import Visit


@dataclass(slots=True, eq=False)
class Guest:
    """One who wants in.

    `conversation` says where it belongs; requests with the same `prefix`, which is asked for only
    while somebody waits, are best served at one replica.
    """

    tenant: str
    key: str
    priority: Priority
    conversation: bytes | None
    prefix: Callable[[], bytes | None]
    time_left: float
    tried: Collection[Upstream] = ()
    continuing: bool = False
    home: Upstream | None = None
    trace: Trace | None = None
    """Its request's, if somebody records it."""


class Turn:
    """A guest who waits, and the visit that it is given."""

    __slots__ = ("given", "guest", "prefix")

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.prefix = guest.prefix()
        self.given: asyncio.Future[Visit] = asyncio.get_running_loop().create_future()
