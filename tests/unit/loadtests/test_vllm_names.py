"""Our figures are those that vLLM's own benchmark makes of the same answers."""

from __future__ import annotations

import ast
import importlib.util
import random
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loadtests.bench.figures import figures
from loadtests.bench.report import About, Report
from loadtests.bench.slo import NOTHING_FAILS
from loadtests.client.call import CUT, DONE, Call, Said

# The keys of `vllm bench serve --save-result` that say what was measured; those of single calls
# (ttfts, itls, …) are in calls.jsonl.
SPREADS = [
    f"{part}_{name}_ms"
    for name in ("ttft", "tpot", "itl", "e2el")
    for part in ("mean", "median", "std", "p99")
]
KEYS = {
    *("date", "backend", "model_id", "num_prompts", "request_rate", "burstiness"),
    *("max_concurrency", "duration", "completed", "failed", "total_input_tokens"),
    *("total_output_tokens", "request_throughput", "request_goodput", "output_throughput"),
    *("total_token_throughput", "max_output_tokens_per_s", "max_concurrent_requests"),
    *SPREADS,
}


def load() -> list[Call]:
    rng = random.Random(4)
    calls = []
    for number in range(60):
        call = Call("chat", number * 0.1, number * 0.1, ending=DONE if number % 7 else CUT)
        call.first = call.due + rng.uniform(0.01, 1)
        call.gaps = [rng.uniform(0.001, 0.1) for _ in range(rng.randint(0, 30))]
        call.ended = call.first + sum(call.gaps)
        call.said = Said(prompt_tokens=rng.randint(1, 99), completion_tokens=len(call.gaps) + 1)
        calls.append(call)
    return calls


def test_a_report_has_the_keys_of_vllms_result() -> None:
    report = Report.of(About("http://s/v1", "m", "now", "closed"), load(), NOTHING_FAILS)
    assert set(report.data) >= KEYS


def vllms() -> Any:
    """vLLM's `calculate_metrics` without the rest of vLLM, whose import takes a minute."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        pytest.skip("vLLM is not installed: install the extra `cpu`")
    tree = ast.parse((Path(spec.origin).parent / "benchmarks" / "serve.py").read_text("utf-8"))
    wanted = {"BenchmarkMetrics", "calculate_metrics"}
    tree.body = [each for each in tree.body if getattr(each, "name", "") in wanted]
    future = ast.parse("from __future__ import annotations").body
    tree.body[:0] = future
    names: dict[str, Any] = {
        "__name__": __name__,
        "np": np,
        "warnings": warnings,
        "dataclass": dataclass,
        "MILLISECONDS_TO_SECONDS_CONVERSION": 1000,
        "TERM_PLOTLIB_AVAILABLE": False,
    }
    exec(compile(tree, spec.origin, "exec"), names)
    return names["calculate_metrics"]


def test_the_same_answers_give_the_same_figures() -> None:
    limits = {"ttft": 500.0, "tpot": 60.0}
    calls = load()
    outputs = [
        SimpleNamespace(
            success=call.completed,
            error=call.ending,
            start_time=call.due,
            latency=call.e2el,
            ttft=call.ttft,
            itl=call.gaps,
            prompt_len=call.said.prompt_tokens,
            output_tokens=call.said.completion_tokens,
            input_audio_duration=0.0,
        )
        for call in calls
    ]
    ours = figures(calls, limits)
    theirs, _ = vllms()([], outputs, ours["duration"], None, [99.0], limits)
    for name in KEYS & set(vars(theirs)):
        assert ours[name] == pytest.approx(getattr(theirs, name)), name
    assert ours["total_input_tokens"] == theirs.total_input
    assert ours["total_output_tokens"] == theirs.total_output
    for name in ("ttft", "tpot", "itl", "e2el"):
        ((_, p99),) = getattr(theirs, f"percentiles_{name}_ms")
        assert ours[f"p99_{name}_ms"] == pytest.approx(p99)
