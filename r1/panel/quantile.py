"""Quantiles of histograms. Pure."""

import math
from collections.abc import Mapping


def quantile(buckets: Mapping[float, float], q: float) -> float | None:
    """The value below which a share `q` of the observations lies; None where there are none.

    As PromQL's histogram_quantile: linear within the bucket that holds it, from 0 in the lowest;
    the highest finite bound for what is above it.

    Args:
        buckets: observations up to each upper bound, cumulated; the last bound is infinite.
        q: above 0, up to 1.
    """
    bounds = sorted(buckets)
    if not bounds or bounds[-1] != math.inf or buckets[math.inf] <= 0:
        return None
    rank = q * buckets[math.inf]
    low, below = 0.0, 0.0
    for bound in bounds:
        # Counters that are read while they grow may disagree by one.
        count = max(below, buckets[bound])
        if count >= rank and count > below:
            if bound == math.inf:
                break
            return low + (bound - low) * (rank - below) / (count - below)
        if bound < math.inf:
            low = bound
        below = count
    return low if len(bounds) > 1 else None
