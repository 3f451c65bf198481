"""A load's report: figures, gates, and the files that keep them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadtests.bench.figures import figures
from loadtests.bench.page import page
from loadtests.bench.plots import draw
from loadtests.bench.slo import Judgement, Slo, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from loadtests.client.call import Call

_LATENCIES = ("ttft", "tpot", "itl", "e2el")
_MOST_MESSAGES = 5


@dataclass(frozen=True)
class About:
    """What was asked how; the names of vLLM's result are in `data`."""

    base_url: str
    model: str
    date: str
    load: str
    rate: float | None = None
    """Calls a second of an open load."""
    users: int | None = None
    """Most users of a closed one."""
    seed: int = 1

    def data(self, calls: int) -> dict[str, Any]:
        """As plain values."""
        return {
            "date": self.date,
            "backend": "openai-chat",
            "model_id": self.model,
            "base_url": self.base_url,
            "num_prompts": calls,
            "request_rate": "inf" if self.rate is None else self.rate,
            "burstiness": 1.0,
            "max_concurrency": self.users,
            "load": self.load,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Report:
    """Of one load."""

    about: About
    calls: Sequence[Call]
    judgement: Judgement
    data: dict[str, Any]
    samples: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        about: About,
        calls: Sequence[Call],
        slo: Slo,
        samples: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    ) -> Report:
        """Of calls that are over."""
        found = figures(calls, slo.goodput)
        judgement = judge(slo, found)
        gates = [
            {
                "gate": each.name,
                "bound": each.bound,
                "least": each.least,
                "measured": each.measured,
                "kept": each.kept,
            }
            for each in judgement.verdicts
        ]
        data = {**about.data(len(calls)), **found, "gates": gates, "kept": judgement.kept}
        return cls(about, calls, judgement, data, samples or {})

    def text(self) -> str:
        """For a terminal."""
        data = self.data
        goodput = data["request_goodput"]
        lines = [
            f"{data['calls']} calls in {data['duration']:.1f} s: {data['completed']} answered, "
            f"{data['failed']} failed; {data['wrong']} wrong of {data['judged']} judged",
            f"{data['request_throughput']:.2f} answers/s, {data['output_throughput']:,.0f} tokens/s"
            + ("" if goodput is None else f", {goodput:.2f} good answers/s"),
            "",
            f"{'ms':<6}{'mean':>10}{'median':>10}{'p90':>10}{'p99':>10}",
        ]
        for name in _LATENCIES:
            values = (data[f"{part}_{name}_ms"] for part in ("mean", "median", "p90", "p99"))
            lines.append(f"{name.upper():<6}" + "".join(f"{each:>10.1f}" for each in values))
        lines += ["", *self._errors(), self.judgement.table()]
        return "\n".join(lines)

    def _errors(self) -> list[str]:
        """How many calls ended in which wrong way, with the words of some."""
        lines = [f"{count} × {ending}" for ending, count in self.data["errors"].items()]
        said = {f"  {each.ending}: {each.message}" for each in self.calls if each.failed}
        lines += sorted(said)[:_MOST_MESSAGES]
        return [*lines, ""] if lines else []

    def write(self, folder: Path) -> None:
        """Write report.json, calls.jsonl and report.html."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.data, indent=1)
        (folder / "report.json").write_text(text + "\n", "utf-8")
        start = min((each.due for each in self.calls), default=0.0)
        lines = (json.dumps(_line(each, start)) for each in self.calls)
        (folder / "calls.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        note = ""
        try:
            plots = list(draw(self.calls, self.samples))
        except ImportError:
            plots = []
            note = "There are no plots: matplotlib is not installed (pip install 'r1[plot]')."
        html = page(self.data, self.judgement, plots, note)
        (folder / "report.html").write_text(html, "utf-8")


def _line(call: Call, start: float) -> dict[str, Any]:
    """A call as plain values, times in seconds; no prompt and no answer is in it."""
    return {
        "users": call.kind,
        "due": round(call.due - start, 6),
        "late": round(call.late, 6),
        "ttft": round(call.ttft, 6),
        "e2el": round(call.e2el, 6),
        "itls": [round(gap, 6) for gap in call.gaps],
        "ending": call.ending,
        "status": call.status,
        "expected": call.expected,
        "right": call.right,
        "cache": call.cache,
        "finish": call.said.finish,
        "input_len": call.said.prompt_tokens,
        "output_len": call.said.completion_tokens,
        "error": call.message,
    }
