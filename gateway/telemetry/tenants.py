"""Which tenants have a label of their own, over all workers of a gateway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.telemetry.sheet import Cell

OTHER = "other"
"""The label of all other tenants."""


def at_most(most: int) -> Callable[[Cell], Cell]:
    """A fold of cells: the first `most` tenants that are seen keep their names, all others are one.

    Each worker names the largest tenants it knows of, and may know of others than its neighbours
    do. A name once shown stays, for a counter that moved to another series would go backward.
    """
    named: set[str] = {OTHER}

    def fold(cell: Cell) -> Cell:
        labels = dict(cell.labels)
        tenant = labels.get("tenant")
        if tenant is None or tenant in named:
            return cell
        if len(named) <= most:
            named.add(tenant)
            return cell
        labels["tenant"] = OTHER
        return replace(cell, labels=tuple(labels.items()))

    return fold
