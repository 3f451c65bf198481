"""Who waits for a place, and whose turn it is. Pure.

Start-time fair queueing (Goyal, Vin and Cheng, 1996), twice: tenants share places evenly, and
within each tenant its keys do. A request of a higher priority costs its tenant and key less of
their share; waiting makes up for a low one. So a key that sends a thousand requests delays its own
and nobody else's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.auth.terms import Priority

COST: dict[Priority, float] = {"high": 0.125, "normal": 0.25, "low": 1.0}
"""Of one place, in units of a share."""

T = TypeVar("T")
_AHEAD = 8
_PASSES = 4


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """One who waits. `came` is in seconds; `urgent` goes before all others: its answer has begun.

    `passed` counts how often a later one was preferred because of its prefix.
    """

    tenant: str
    key: str
    priority: Priority
    came: float
    what: T
    urgent: bool = False
    passed: int = 0


@dataclass(slots=True)
class _Line(Generic[T]):
    """The entries of one key, and where its share stands."""

    tag: float
    entries: deque[Entry[T]] = field(default_factory=deque)


@dataclass(slots=True)
class _Tenant(Generic[T]):
    """The keys of a tenant that wait; `now` is the tenant's own virtual time."""

    tag: float
    now: float = 0.0
    count: int = 0
    lines: dict[str, _Line[T]] = field(default_factory=dict)


class FairQueue(Generic[T]):
    """Entries in a fair order."""

    def __init__(self, aging_s: float) -> None:
        """Args: after `aging_s` an entry has made up for the lowest priority."""
        self._aging_s = aging_s
        self._urgent: deque[Entry[T]] = deque()
        self._tenants: dict[str, _Tenant[T]] = {}
        self._now = 0.0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, entry: Entry[T]) -> None:
        """Let it wait."""
        self._count += 1
        if entry.urgent:
            self._urgent.append(entry)
            return
        tenant = self._tenants.get(entry.tenant)
        if tenant is None:
            tenant = self._tenants[entry.tenant] = _Tenant(self._now)
        elif not tenant.count:
            tenant.tag = max(tenant.tag, self._now)
        line = tenant.lines.get(entry.key)
        if line is None:
            line = tenant.lines[entry.key] = _Line(tenant.now)
        elif not line.entries:
            line.tag = max(line.tag, tenant.now)
        line.entries.append(entry)
        tenant.count += 1

    def remove(self, entry: Entry[T]) -> bool:
        """Forget one, wherever it stands; False if it waits no more."""
        if entry.urgent:
            if entry not in self._urgent:
                return False
            self._urgent.remove(entry)
            self._count -= 1
            return True
        tenant = self._tenants.get(entry.tenant)
        line = None if tenant is None else tenant.lines.get(entry.key)
        if tenant is None or line is None or entry not in line.entries:
            return False
        line.entries.remove(entry)
        self._left(entry, tenant, line)
        return True

    def take(
        self,
        now: float,
        may: Callable[[Entry[T]], bool],
        liked: Callable[[Entry[T]], bool] = lambda entry: False,
    ) -> Entry[T] | None:
        """Whose turn it is among those who `may`; None if nobody is.

        Of entries whose turns are close together one that is `liked` goes first, but none is
        passed over more than a few times for that.
        """
        first = self._choose(now, may, liked)
        if first is None:
            return None
        if first.urgent:
            self._urgent.remove(first)
            self._count -= 1
            return first
        tenant = self._tenants[first.tenant]
        line = tenant.lines[first.key]
        cost = COST[first.priority]
        self._now = max(self._now, tenant.tag)
        tenant.now = max(tenant.now, line.tag)
        tenant.tag += cost
        line.tag += cost
        line.entries.remove(first)
        self._left(first, tenant, line)
        return first

    def ahead(self, tenant: str, key: str) -> int:
        """How many go before one that comes now, by their shares."""
        own = self._tenants.get(tenant)
        of_tenant = of_key = self.waiting(tenant, key)
        lines = {} if own is None else own.lines
        for name, line in lines.items():
            if name != key:
                of_tenant += min(len(line.entries), of_key + 1)
        ahead = len(self._urgent) + of_tenant
        for name, other in self._tenants.items():
            if name != tenant:
                ahead += min(other.count, of_tenant + 1)
        return ahead

    def longest(self) -> Entry[T] | None:
        """The last entry of the key with the most of them: who has least claim to wait here."""
        lines = [line for tenant in self._tenants.values() for line in tenant.lines.values()]
        longest = max(lines, key=lambda line: len(line.entries), default=None)
        return None if longest is None else longest.entries[-1]

    def waiting(self, tenant: str, key: str) -> int:
        """How many of a key's requests wait."""
        own = self._tenants.get(tenant)
        line = None if own is None else own.lines.get(key)
        return 0 if line is None else len(line.entries)

    def __iter__(self) -> Iterator[Entry[T]]:
        """All who wait, in no order."""
        yield from self._urgent
        for tenant in self._tenants.values():
            for line in tenant.lines.values():
                yield from line.entries

    def _left(self, entry: Entry[T], tenant: _Tenant[T], line: _Line[T]) -> None:
        self._count -= 1
        tenant.count -= 1
        if not line.entries:
            # Kept while its share is used up: who comes back at once does not begin anew.
            tenant.lines = {
                name: each
                for name, each in tenant.lines.items()
                if each.entries or each.tag > tenant.now
            }
        if not tenant.count:
            self._tenants = {
                name: each
                for name, each in self._tenants.items()
                if each.count or each.tag > self._now
            }

    def _choose(
        self, now: float, may: Callable[[Entry[T]], bool], liked: Callable[[Entry[T]], bool]
    ) -> Entry[T] | None:
        for entry in self._urgent:
            if may(entry):
                return entry
        best: Entry[T] | None = None
        limit = 0.0
        for rank, line in self._ranked(now):
            if best is not None and rank > limit:
                return best
            for entry in list(line.entries)[:_AHEAD]:
                if not may(entry):
                    continue
                if best is None:
                    best, limit = entry, rank + COST["low"]
                    if liked(entry) or entry.passed >= _PASSES:
                        return entry
                elif liked(entry):
                    best.passed += 1
                    return entry
        return best

    def _ranked(self, now: float) -> list[tuple[float, _Line[T]]]:
        """All lines by their turn: that of the tenant, and among its keys that of the key."""
        ranked = []
        for tenant in self._tenants.values():
            turns = [
                (line.tag + self._cost(line.entries[0], now), line)
                for line in tenant.lines.values()
                if line.entries
            ]
            if turns:
                turns.sort(key=lambda each: each[0])
                rank = tenant.tag + self._cost(turns[0][1].entries[0], now)
                ranked.append((rank, turns))
        ranked.sort(key=lambda each: each[0])
        return [(rank, line) for rank, turns in ranked for _, line in turns]

    def _cost(self, entry: Entry[T], now: float) -> float:
        """What it costs of a share. What it costs beside the highest priority goes as it waits."""
        cost = COST[entry.priority]
        return cost - (cost - COST["high"]) * min(1.0, (now - entry.came) / self._aging_s)
