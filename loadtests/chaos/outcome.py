"""What a fault cost the callers of one kind of load. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from loadtests.steady.calls import DONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtests.steady.answers import Answer
    from loadtests.steady.calls import Call, Question

NOTICED_S = 1.0
"""Who waits so much longer than undisturbed for an answer, or for its next token, notices."""
NO_ERROR = "–"


@dataclass(frozen=True)
class Outcome:
    """Of one fault, one system and one kind of load. Times in seconds.

    `failed`: calls that ended without their answer; `wrong`: answers that looked whole and were
    not the undisturbed ones; `resumed`: None where nobody counts them; `recovery_s`: from the
    fault's beginning until the last caller got what was held up, or failed.
    """

    calls: int
    failed: int
    wrong: int
    retried: int
    resumed: int | None
    lost_tokens: int
    recovery_s: float
    worst: str

    @property
    def good(self) -> bool:
        """Whether nobody saw an error or another answer."""
        return self.calls > 0 and not self.failed and not self.wrong


def outcome(
    calls: Sequence[Call],
    expected: dict[Question, Answer],
    faults: Callable[[Call], list[str]],
    *,
    struck_at: float,
    resumed: int | None,
) -> Outcome:
    """What came of the calls of one kind.

    Args:
        calls: that are over; their times count from the load's beginning.
        expected: the undisturbed answers.
        faults: what is wrong with a call.
        struck_at: when the fault began, in seconds of the same clock.
        resumed: streams that went on at another server.
    """
    bad = [call for call in calls if faults(call)]
    failed = [call for call in bad if call.ending != DONE]
    endings = Counter(call.ending for call in failed)
    if len(bad) > len(failed):
        endings["another answer"] = len(bad) - len(failed)
    told = ", ".join(f"{count} × {name}" for name, count in endings.most_common(3))
    return Outcome(
        calls=len(calls),
        failed=len(failed),
        wrong=len(bad) - len(failed),
        retried=sum(call.attempts > 1 for call in calls),
        resumed=resumed,
        lost_tokens=sum(lost_tokens(call.answer, expected[call.question]) for call in bad),
        recovery_s=recovery(calls, bad, struck_at),
        worst=told or NO_ERROR,
    )


def lost_tokens(got: Answer, expected: Answer) -> int:
    """Tokens of an answer that did not come, by the share of its characters that did not.

    A cut stream tells no count of its own.
    """
    whole = len(expected.reasoning) + len(expected.content)
    came = min(whole, len(got.reasoning) + len(got.content))
    return round(expected.completion_tokens * (whole - came) / whole) if whole else 0


def recovery(calls: Sequence[Call], bad: Sequence[Call], struck_at: float) -> float:
    """Seconds from the fault's beginning until the last caller was served who noticed it."""
    before = [call for call in calls if call.began + call.duration <= struck_at] or calls
    usual_s = median(_wait(call)[0] for call in before) if before else 0.0
    failures = {id(call) for call in bad}
    ends = [0.0]
    for call in calls:
        if call.began + call.duration <= struck_at:
            continue
        waited_s, until_s = _wait(call)
        if id(call) in failures:
            ends.append(call.began + call.duration - struck_at)
        elif waited_s > usual_s + NOTICED_S:
            ends.append(call.began + until_s - struck_at)
    return max(ends)


def _wait(call: Call) -> tuple[float, float]:
    """The longest that its caller waited, and when that was over, counted from the question."""
    if not call.question.stream:
        return call.duration, call.duration
    first = call.ttft if call.ttft is not None else call.duration
    return (call.gap, call.gap_end) if call.gap > first else (first, first)
