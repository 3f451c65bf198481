"""First tokens and the gaps between tokens: what is counted, where and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.call import Call, Message
from gateway.protocol.usage import Usage
from gateway.telemetry import first_token
from gateway.telemetry.exposition import render
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import FAMILIES, Metrics
from gateway.telemetry.sheet import Sheet, make_files, read
from gateway.upstream.pulse import Pulse

MODEL: Any = SimpleNamespace(id="m")


class Bench:
    """A call whose clock stands still until it is moved, and the metrics of its stream."""

    def __init__(self) -> None:
        self.files = make_files()
        self.metrics = Metrics(Meter(Sheet(self.files)))
        self.now = 0.0
        self.call = Call(
            {"headers": []},
            self.nothing,
            self.ignore,
            api="chat",
            now=lambda: self.now,
            make_id=lambda: "x",
        )
        self.call.model = MODEL

    async def nothing(self) -> Message:
        raise AssertionError("nothing is read")

    async def ignore(self, message: Message) -> None:
        raise AssertionError("nothing is sent")

    def samples(self, name: str) -> dict[str, float]:
        return {
            sample.labels.get("prompt_bucket", sample.labels.get("le", "")): sample.value
            for family in text_string_to_metric_families(render(FAMILIES, [read(self.files)]))
            for sample in family.samples
            if sample.name == name
        }

    @property
    def first_tokens(self) -> dict[str, float]:
        return self.samples("r1_time_to_first_token_seconds_count")


@pytest.mark.parametrize(
    ("prompt", "cached", "at_once", "at_the_end"),
    [
        (2048, 0, {"2k": 1}, {"2k": 1}),
        (2049, 0, {}, {"8k": 1}),
        (30_000, 29_000, {}, {"2k": 1}),
        (30_000, 30_000, {}, {"2k": 1}),
        (100_000, 0, {}, {"more": 1}),
        (0, 0, {}, {"unknown": 1}),
    ],
)
def test_a_first_token_is_counted_once_and_by_what_was_not_cached(
    prompt: int, cached: int, at_once: dict[str, float], at_the_end: dict[str, float]
) -> None:
    bench = Bench()
    bench.call.usage = Usage(prompt=prompt)
    bench.now = 0.75
    Pulse(bench.call, bench.metrics, None).beat(1, content=False)
    first_token.sent(bench.call, bench.metrics)
    assert bench.first_tokens == at_once
    bench.now = 60.0
    bench.call.usage.cached = cached
    first_token.over(bench.call, bench.metrics)
    first_token.over(bench.call, bench.metrics)
    assert bench.first_tokens == at_the_end
    assert list(bench.samples("r1_time_to_first_token_seconds_sum").values()) == [0.75]


def test_an_attempt_that_was_given_up_has_no_first_token() -> None:
    bench = Bench()
    bench.call.usage = Usage(prompt=5)
    Pulse(bench.call, bench.metrics, None).beat(1, content=False)
    bench.now = 2.0
    Pulse(bench.call, bench.metrics, None).beat(1, content=False)
    first_token.sent(bench.call, bench.metrics)
    assert list(bench.samples("r1_time_to_first_token_seconds_sum").values()) == [2.0]


def test_a_call_without_tokens_has_none_to_count() -> None:
    bench = Bench()
    bench.call.usage = Usage(prompt=5)
    first_token.over(bench.call, bench.metrics)
    assert bench.first_tokens == {}


def test_tokens_that_come_together_share_the_time_before_them() -> None:
    bench = Bench()
    pulse = Pulse(bench.call, bench.metrics, None)
    pulse.beat(2, content=False)
    bench.now = 0.12
    pulse.beat(3, content=False)
    bench.now = 0.92
    pulse.beat(1, content=True)
    # Six tokens: five times between them. 0 once, 0.04 three times, 0.8 once.
    counts = bench.samples("r1_inter_token_latency_seconds_bucket")
    assert (counts["0.001"], counts["0.03"], counts["0.05"]) == (1, 1, 4)
    assert (counts["0.5"], counts["1.0"], counts["+Inf"]) == (4, 5, 5)
    assert bench.samples("r1_inter_token_latency_seconds_sum")[""] == pytest.approx(0.92)
    assert bench.samples("r1_time_to_first_content_seconds_sum")[""] == pytest.approx(0.92)
