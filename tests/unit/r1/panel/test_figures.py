"""Figures from two readings of a gateway's metrics."""

from __future__ import annotations

import pytest

from r1.panel.figures import Frame, ModelFigures, figures
from r1.panel.page import Page, Sample, parse

BEFORE = """
r1_requests_total{api="chat",model="m",code="200"} 100
r1_requests_total{api="chat",model="m",code="500"} 7
r1_requests_total{api="chat",model="unknown",code="404"} 3
r1_inflight_requests{model="m"} 9
r1_tokens_total{model="m",kind="completion"} 1000
r1_tokens_total{model="m",kind="prompt"} 1000
r1_tokens_total{model="m",kind="cached"} 0
r1_inter_token_latency_seconds_bucket{model="m",le="0.05"} 50
r1_inter_token_latency_seconds_bucket{model="m",le="+Inf"} 50
r1_inter_token_latency_seconds_count{model="m"} 50
"""
AFTER = """
r1_requests_total{api="chat",model="m",code="200"} 140
r1_requests_total{api="chat",model="m",code="500"} 3
r1_requests_total{api="messages",model="m",code="200"} 10
r1_requests_total{api="chat",model="unknown",code="404"} 9
r1_inflight_requests{model="m"} 12
r1_queue_depth{model="m",class="normal"} 4
r1_queue_depth{model="m",class="low"} 1
r1_upstream_up{model="m",upstream="replica-1"} 1
r1_upstream_up{model="m",upstream="replica-2"} 0
r1_canary_ejected{model="m",upstream="replica-1"} 1
r1_canary_ejected{model="m",upstream="replica-2"} 0
r1_tokens_total{model="m",kind="completion"} 1100
r1_tokens_total{model="m",kind="prompt"} 1400
r1_tokens_total{model="m",kind="cached"} 100
r1_cache_requests_total{model="m",result="hit"} 3
r1_cache_requests_total{model="m",result="stale"} 1
r1_cache_requests_total{model="m",result="coalesced"} 1
r1_cache_requests_total{model="m",result="miss"} 15
r1_time_to_first_token_seconds_bucket{model="m",cache="miss",prompt_bucket="2k",le="0.5"} 10
r1_time_to_first_token_seconds_bucket{model="m",cache="miss",prompt_bucket="2k",le="8.0"} 10
r1_time_to_first_token_seconds_bucket{model="m",cache="miss",prompt_bucket="2k",le="+Inf"} 10
r1_time_to_first_token_seconds_bucket{model="m",cache="miss",prompt_bucket="32k",le="0.5"} 0
r1_time_to_first_token_seconds_bucket{model="m",cache="miss",prompt_bucket="32k",le="8.0"} 10
r1_time_to_first_token_seconds_bucket{model="m",cache="miss",prompt_bucket="32k",le="+Inf"} 10
r1_inter_token_latency_seconds_bucket{model="m",le="0.05"} 850
r1_inter_token_latency_seconds_bucket{model="m",le="+Inf"} 850
r1_inter_token_latency_seconds_count{model="m"} 850
r1_store_degraded{store="keys"} 1
r1_memory_used_ratio 0.8
r1_gpu_utilization_ratio{gpu="0"} 0.97
r1_gpu_memory_used_ratio{gpu="0"} 0.92
vllm:kv_cache_usage_perc{model="m",instance="a"} 0.2
vllm:kv_cache_usage_perc{model="m",instance="b"} 0.6
"""


def frame() -> Frame:
    return figures(Page(parse(BEFORE), 100.0), Page(parse(AFTER), 110.0))


def model() -> ModelFigures:
    (only,) = frame().models
    return only


def test_counts_and_rates() -> None:
    m = model()
    assert (m.id, m.up, m.replicas, m.ejected) == ("m", 1, 2, 1)
    assert (m.running, m.waiting) == (7, 5)
    # The counter of failures began anew in between.
    assert m.requests == pytest.approx((40 + 3 + 10) / 10)
    assert m.failures == pytest.approx(0.3)
    # Answers that run are seen by their gaps, before they count as finished.
    assert m.tokens == pytest.approx(80)


def test_shares_and_latencies() -> None:
    m = model()
    assert m.cache_hits == pytest.approx(0.25)
    assert m.prefix_hits == pytest.approx(0.25)
    assert m.itl == pytest.approx(0.025)
    assert m.itl_p95 == pytest.approx(0.0475)
    # All prompts together, and the short ones by which the colour goes.
    assert m.ttft == pytest.approx(0.5)
    assert m.ttft_p95 == pytest.approx(0.5 + 7.5 * 0.9)
    assert m.short_ttft_p95 == pytest.approx(0.475)
    assert m.kv_used == 0.6


def test_the_machine() -> None:
    found = frame()
    assert found.memory == {"this node": 0.8}
    (gpu,) = found.gpus
    assert (gpu.name, gpu.busy, gpu.memory) == ("0", 0.97, 0.92)
    assert found.store_degraded


def test_nothing_happened_and_nothing_is_there() -> None:
    page = Page(parse(AFTER), 100.0)
    (m,) = figures(page, Page(parse(AFTER), 102.0)).models
    assert (m.requests, m.tokens, m.ttft, m.itl, m.cache_hits) == (0, 0, None, None, None)
    assert figures(page, page).models[0].requests == 0
    assert figures(Page([], 0.0), Page([], 1.0)) == Frame()


def test_two_gateways_see_the_same_replica() -> None:
    samples = [
        Sample("r1_upstream_up", {"model": "m", "upstream": "replica-1", "instance": each}, 1.0)
        for each in "ab"
    ]
    (m,) = figures(Page(samples, 0.0), Page(samples, 1.0)).models
    assert (m.up, m.replicas) == (1, 1)
