"""What the traffic saw, to be read and to be kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadtests.overload.figures import quantile
from loadtests.steady.calls import DONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.steady.calls import Call
    from loadtests.steady.traffic import Traffic

_MOST_SHOWN = 20
_HEAD = (
    "| calls | all | wrong | tokens | asked again | TTFT p50/p99/max s | longest pause s "
    "| whole p50/max s |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Fault:
    """One thing that a caller saw and should not have."""

    call: Call
    what: str

    @property
    def at(self) -> float:
        """Seconds after the load's beginning at which the call was over."""
        return self.call.began + self.call.duration

    def line(self) -> str:
        """For the report."""
        name = f"{self.call.question.kind}, request {self.call.request_id or '-'}"
        return f"- at {self.at:.1f} s, {name}: {self.what}"


@dataclass(frozen=True)
class Report:
    """Of one run."""

    calls: tuple[Call, ...]
    faults: tuple[Fault, ...]

    @classmethod
    def of(cls, traffic: Traffic) -> Report:
        """Of all calls that are over."""
        found = [Fault(call, what) for call in traffic.calls for what in traffic.faults(call)]
        return cls(tuple(traffic.calls), tuple(found))

    @property
    def good(self) -> bool:
        """Whether there were calls at all, and nothing was wrong with any."""
        return bool(self.calls) and not self.faults

    @property
    def endings(self) -> Counter[str]:
        """How many calls ended in which way."""
        return Counter(call.ending for call in self.calls)

    @property
    def longest_pause(self) -> float:
        """The longest silence inside any stream, in seconds."""
        return max((call.gap for call in self.calls), default=0.0)

    def text(self) -> str:
        """A table by kinds, the endings, and the first faults."""
        kinds = sorted({call.question.kind for call in self.calls})
        rows = [
            self._row(kind, [c for c in self.calls if c.question.kind == kind]) for kind in kinds
        ]
        endings = ", ".join(f"{count} {name}" for name, count in self.endings.most_common())
        lines = [_HEAD, *rows, "", f"Endings: {endings or 'no call was made'}.", ""]
        if not self.faults:
            lines.append(
                "No error, no token lost, none doubled." if self.calls else "Nobody asked."
            )
            return "\n".join(lines)
        lines.append(f"{len(self.faults)} faults:")
        lines += [each.line() for each in sorted(self.faults, key=lambda f: f.at)[:_MOST_SHOWN]]
        if len(self.faults) > _MOST_SHOWN:
            lines.append(f"- and {len(self.faults) - _MOST_SHOWN} more")
        return "\n".join(lines)

    def _row(self, kind: str, calls: Sequence[Call]) -> str:
        wrong = len({id(each.call) for each in self.faults if each.call.question.kind == kind})
        ttft = [call.ttft for call in calls if call.ttft is not None]
        took = [call.duration for call in calls if call.ending == DONE]
        return (
            f"| {kind} | {len(calls)} | {wrong} "
            f"| {sum(call.answer.completion_tokens for call in calls)} "
            f"| {sum(call.attempts > 1 for call in calls)} "
            f"| {_seconds(ttft, 0.5, 0.99, 1.0)} | {max(call.gap for call in calls):.2f} "
            f"| {_seconds(took, 0.5, 1.0)} |"
        )

    def data(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "good": self.good,
            "endings": dict(self.endings),
            "faults": [each.line().removeprefix("- ") for each in self.faults],
            "calls": [
                {
                    "kind": call.question.kind,
                    "began_s": round(call.began, 3),
                    "duration_s": round(call.duration, 3),
                    "ttft_s": None if call.ttft is None else round(call.ttft, 3),
                    "longest_pause_s": round(call.gap, 3),
                    "ending": call.ending,
                    "attempts": call.attempts,
                    "tokens": call.answer.completion_tokens,
                    "request_id": call.request_id,
                }
                for call in self.calls
            ],
        }


def _seconds(values: Sequence[float], *parts: float) -> str:
    return "/".join(f"{quantile(part, values):.2f}" for part in parts) if values else "–"
