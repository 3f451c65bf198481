"""What calls came to, by the names of vLLM's benchmark (`vllm bench serve`). Pure.

Latencies, throughputs and goodput are of whole answers, as there. Beyond that: users who
misbehave on purpose (`users.kinds.UNRULY`) count only in `users`, but for what went wrong with
them; latencies count from when a call was due; and only streamed answers have a TTFT and a TPOT.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from loadtests.client.call import CUT, LATE, LEFT, LOST, REFUSED, UNFINISHED
from loadtests.users.kinds import UNRULY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadtests.client.call import Call

PERCENTILES = (50, 90, 95, 99)
GOODPUT = ("ttft", "tpot", "e2el")
"""What a call's goodness may be judged by, in milliseconds."""
KEPT = frozenset({"hit", "stale", "coalesced"})
"""What x-r1-cache says of answers that cost no generation of their own."""
Figures = dict[str, Any]


def percentile(values: Sequence[float], percent: float) -> float:
    """With a straight line between the two nearest, as numpy's; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def figures(calls: Sequence[Call], goodput: Mapping[str, float] | None = None) -> Figures:
    """All figures of a load whose calls are over.

    Args:
        calls: in any order.
        goodput: most milliseconds of `ttft`, `tpot` and `e2el` that a good call takes.
    """
    orderly = [each for each in calls if each.kind not in UNRULY]
    # A slow reader's last answer may come long after the load.
    seconds = span(orderly or calls)
    kinds = sorted({each.kind for each in calls})
    return {
        "duration": seconds,
        **_of(orderly, seconds, goodput),
        **_wrong(calls),
        "users": {
            kind: {**_of(own, seconds, goodput), **_wrong(own)}
            for kind in kinds
            for own in [[each for each in calls if each.kind == kind]]
        },
    }


def span(calls: Sequence[Call]) -> float:
    """Seconds from when the first call was due to the end of the last one."""
    if not calls:
        return 0.0
    return max(each.ended for each in calls) - min(each.due for each in calls)


def good(call: Call, goodput: Mapping[str, float]) -> bool:
    """Whether a whole answer kept to its limits; one of a single token has no TPOT to miss."""
    took = {"ttft": call.ttft, "tpot": call.tpot or 0.0, "e2el": call.e2el}
    return all(took[name] * 1000 <= limit for name, limit in goodput.items())


def _of(calls: Sequence[Call], seconds: float, goodput: Mapping[str, float] | None) -> Figures:
    whole = [each for each in calls if each.completed]
    prompts = sum(each.said.prompt_tokens for each in whole)
    answers = sum(each.said.completion_tokens for each in whole)
    per = 1 / seconds if seconds > 0 else 0.0
    peak, together = _peaks(whole)
    found: Figures = {
        "completed": len(whole),
        "total_input_tokens": prompts,
        "total_output_tokens": answers,
        "request_throughput": len(whole) * per,
        "request_goodput": (
            None if goodput is None else sum(good(each, goodput) for each in whole) * per
        ),
        "output_throughput": answers * per,
        "total_token_throughput": (prompts + answers) * per,
        "max_output_tokens_per_s": peak,
        "max_concurrent_requests": together,
        "cache_hit_rate": _share(sum(each.cache in KEPT for each in whole), len(whole)),
    }
    for name, values in {
        "ttft": [each.ttft for each in whole if each.first is not None],
        "tpot": [each.tpot for each in whole if each.tpot is not None],
        "itl": [gap for each in whole for gap in each.gaps],
        "e2el": [each.e2el for each in whole],
    }.items():
        found |= _spread(name, values)
    return found


def _spread(name: str, values: Sequence[float]) -> Figures:
    mean = sum(values) / len(values) if values else 0.0
    off = math.sqrt(sum((each - mean) ** 2 for each in values) / len(values)) if values else 0.0
    ordered = sorted(values)
    return {
        f"mean_{name}_ms": mean * 1000,
        f"median_{name}_ms": percentile(ordered, 50) * 1000,
        f"std_{name}_ms": off * 1000,
        **{f"p{part}_{name}_ms": percentile(ordered, part) * 1000 for part in PERCENTILES},
    }


def _wrong(calls: Sequence[Call]) -> Figures:
    """What went wrong, of all calls; and what was provoked."""
    judged = [each for each in calls if each.right is not None]
    wrong = sum(each.right is False for each in judged)
    failed = sum(each.failed for each in calls)
    cut = sum(each.ending in (CUT, LOST) for each in calls)
    return {
        "calls": len(calls),
        "failed": failed,
        "failed_rate": _share(failed, len(calls)),
        "errors": dict(Counter(each.ending for each in calls if each.failed).most_common()),
        "cut": cut,
        "late": sum(each.ending == LATE for each in calls),
        "unconnected": sum(each.ending == REFUSED for each in calls),
        "unfinished": sum(each.ending == UNFINISHED for each in calls),
        "judged": len(judged),
        "wrong": wrong,
        "wrong_rate": _share(wrong, len(judged)),
        "left": sum(each.ending == LEFT for each in calls),
        "refused_as_expected": sum(each.expected and each.ending != LEFT for each in calls),
        "max_client_lateness_ms": max((each.late for each in calls), default=0.0) * 1000,
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _peaks(calls: Sequence[Call]) -> tuple[float, int]:
    """Most token events of one second, and most calls that overlapped one second."""
    if not calls:
        return 0.0, 0
    start = min(each.due for each in calls)
    tokens: Counter[int] = Counter()
    together: Counter[int] = Counter()
    for each in calls:
        at = each.ended if each.first is None else each.first
        tokens[int(at - start)] += 1
        for gap in each.gaps:
            at += gap
            tokens[int(at - start)] += 1
        together.update(range(int(each.due - start), int(each.ended - start) + 1))
    return float(max(tokens.values())), max(together.values())
