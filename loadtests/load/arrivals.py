"""When an open load's callers come: whether or not others have been answered. Pure."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.load.shapes import Shape


def poisson(shape: Shape, seconds: float, seed: int, most: int) -> list[float]:
    """Seconds after the beginning at which callers come: a Poisson process that follows a shape.

    Drawn at the shape's highest rate, of which the part above the curve is thinned out (Lewis and
    Shedler, 1979). At most `most` of them.
    """
    return list(islice(_thinned(shape, seconds, random.Random(seed)), most))


def _thinned(shape: Shape, seconds: float, rng: random.Random) -> Iterator[float]:
    at = rng.expovariate(shape.highest)
    while at < seconds:
        if rng.random() * shape.highest < shape.at(at / seconds):
            yield at
        at += rng.expovariate(shape.highest)
