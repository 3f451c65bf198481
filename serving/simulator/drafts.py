"""How many drafts of multi-token prediction a simulated step keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.plan.roofline import NEXT_DRAFT

if TYPE_CHECKING:
    from collections.abc import Callable


def accepted(first: float, drafts: int, draw: Callable[[], float]) -> Callable[[], int]:
    """Tells how many of a step's drafts are kept, up to the first that is not.

    Args:
        first: chance of the first draft; each further one has the plan's smaller chance.
        drafts: how many there are.
        draw: gives numbers from 0 to below 1.
    """

    def count() -> int:
        chance, kept = first, 0
        while kept < drafts and draw() < chance:
            kept += 1
            chance *= NEXT_DRAFT
        return kept

    return count
