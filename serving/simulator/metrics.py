"""vLLM 0.29's metrics of a simulated engine, by the names and labels that vLLM gives them."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from serving.simulator.ranks import Ranks
    from serving.simulator.scheduler import Scheduler

_FIRST_TOKEN_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
_GAP_S = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
)  # fmt: skip
_REQUEST_S = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
_LABELS = ("model_name", "engine")


class Distribution:
    """A histogram that takes many equal values at once: tokens come too fast for one by one."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value (seconds)."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def family(self, name: str, text: str, labels: Sequence[str]) -> Metric:
        """As Prometheus reads it."""
        family = HistogramMetricFamily(name, text, labels=_LABELS)
        total, buckets = 0, []
        names = [str(bound) for bound in self._bounds] + ["+Inf"]
        for bound, count in zip(names, self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(labels, buckets, self._sum)
        return family


class Metrics:
    """Counts, and renders what was counted."""

    def __init__(self, model: str) -> None:
        self._labels = (model, "0")
        self._prompt = self._generated = self._cached = 0
        self._endings: dict[str, int] = {"stop": 0, "length": 0, "abort": 0}
        self._first_token = Distribution(_FIRST_TOKEN_S)
        self._gap = Distribution(_GAP_S)
        self._request = Distribution(_REQUEST_S)
        self._scheduler: Ranks | Scheduler | None = None
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def watch(self, scheduler: Ranks | Scheduler) -> None:
        """Take the gauges from a scheduler, or from those of several ranks."""
        self._scheduler = scheduler

    def prompt(self, tokens: int) -> None:
        """A request came with a prompt of so many tokens."""
        self._prompt += tokens

    def first_token(self, seconds: float, cached: int) -> None:
        """The first token of a choice came after so many seconds."""
        self._first_token.add(seconds)
        self._cached += cached

    def tokens(self, count: int, gap: float, gaps: int) -> None:
        """So many tokens came, `gaps` of them with `gap` seconds before each."""
        self._generated += count
        if gaps:
            self._gap.add(gap, gaps)

    def finished(self, reason: str, seconds: float | None = None) -> None:
        """A request ended."""
        self._endings[reason] += 1
        if seconds is not None:
            self._request.add(seconds)

    def render(self) -> bytes:
        """The text that /metrics answers with."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus-client."""
        scheduler = self._scheduler
        if scheduler is None:
            return
        gauges = (
            ("num_requests_running", "Requests in the batch", len(scheduler.running)),
            ("num_requests_waiting", "Requests waiting for a place", len(scheduler.waiting)),
            ("kv_cache_usage_perc", "Share of KV cache in use", scheduler.used_share),
        )
        for name, text, value in gauges:
            gauge = GaugeMetricFamily(f"vllm:{name}", text, labels=_LABELS)
            gauge.add_metric(self._labels, value)
            yield gauge
        counters = (
            ("prompt_tokens", "Prompt tokens", self._prompt),
            ("prompt_tokens_cached", "Prompt tokens found in the prefix cache", self._cached),
            ("generation_tokens", "Generated tokens", self._generated),
            ("prefix_cache_queries", "Tokens looked up in the prefix cache", scheduler.queried),
            ("prefix_cache_hits", "Tokens found there", scheduler.found),
            ("num_preemptions", "Sequences that had to start over", scheduler.preemptions),
        )
        for name, text, value in counters:
            counter = CounterMetricFamily(f"vllm:{name}", text, labels=_LABELS)
            counter.add_metric(self._labels, value)
            yield counter
        ended = CounterMetricFamily(
            "vllm:request_success", "Requests by ending", labels=(*_LABELS, "finished_reason")
        )
        for reason, count in self._endings.items():
            ended.add_metric((*self._labels, reason), count)
        yield ended
        for distribution, name, text in (
            (self._first_token, "time_to_first_token_seconds", "TTFT"),
            (self._gap, "inter_token_latency_seconds", "ITL"),
            (self._request, "e2e_request_latency_seconds", "Whole requests"),
        ):
            yield distribution.family(f"vllm:{name}", text, self._labels)
