"""A load second by second, for its plots. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.client.call import Call

MOST_POINTS = 600


@dataclass(frozen=True)
class Timeline:
    """Rates a second in slices of `width` seconds; `running` is the mean of calls in flight."""

    width: float
    at: tuple[float, ...]
    tokens: tuple[float, ...]
    completed: tuple[float, ...]
    failed: tuple[float, ...]
    running: tuple[float, ...]

    @classmethod
    def of(cls, calls: Sequence[Call]) -> Timeline:
        """In slices of a second, or longer ones where there would be too many."""
        if not calls:
            return cls(1.0, (), (), (), (), ())
        start = min(each.due for each in calls)
        length = max(each.ended for each in calls) - start
        width = max(1.0, length / MOST_POINTS)
        count = int(length / width) + 1
        tokens, completed, failed, running = ([0.0] * count for _ in range(4))
        for each in calls:
            if each.first is not None:
                at = each.first - start
                tokens[int(at / width)] += 1
                for gap in each.gaps:
                    at += gap
                    tokens[min(int(at / width), count - 1)] += 1
            last = int((each.ended - start) / width)
            completed[last] += each.completed
            failed[last] += each.failed
            for place in range(int((each.due - start) / width), last + 1):
                begin = max(each.due - start, place * width)
                end = min(each.ended - start, (place + 1) * width)
                running[place] += max(0.0, end - begin)
        return cls(
            width,
            tuple(place * width for place in range(count)),
            *(tuple(v / width for v in values) for values in (tokens, completed, failed, running)),
        )
