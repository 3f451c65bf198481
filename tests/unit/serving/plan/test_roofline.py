"""The arithmetic against figures known by hand: bytes, operations, seconds."""

import pytest

from serving.catalog import Catalog
from serving.engine.memory import Layout
from serving.hardware import Machine
from serving.plan.adapt import hardware_figures, model_figures
from serving.plan.communication import all_reduce_s, all_to_all_s
from serving.plan.figures import HardwareFigures, ModelFigures
from serving.plan.roofline import (
    Factors,
    Work,
    experts_touched,
    hottest_share,
    imbalance,
    step,
    tokens_per_step,
)

PERFECT = Factors(memory=1.0, compute=1.0, kernel_s=0.0, request_s=0.0)


@pytest.fixture(scope="module")
def r1() -> ModelFigures:
    return model_figures(Catalog.load().resolve("deepseek-r1"))


@pytest.fixture(scope="module")
def h200() -> HardwareFigures:
    return hardware_figures(Machine.load("8xh200"))


def test_sizes_of_r1_are_those_that_are_known(r1: ModelFigures) -> None:
    always = r1.attention.bytes + r1.copied.bytes + r1.dense.bytes + r1.head.bytes
    assert always == pytest.approx(17.22e9, rel=0.01)
    assert r1.expert.bytes == pytest.approx(2.554e9, rel=0.001)
    assert r1.kv_bytes_per_token == 70_272
    # Operations of one token: 2 × 36.6 billion parameters, and attention's for each context token.
    chosen = r1.attention.parameters + r1.copied.parameters + r1.dense.parameters
    chosen += r1.head.parameters + 8 * r1.expert.parameters
    assert 2 * chosen == pytest.approx(73.2e9, rel=0.005)
    assert r1.decode_flops_per_context_token == pytest.approx(17.0e6, rel=0.002)
    assert r1.prefill_flops_per_context_token == pytest.approx(2.50e6, rel=0.002)


def test_a_distill_reads_its_weights_without_the_embedding() -> None:
    llama = model_figures(Catalog.load().resolve("deepseek-r1-distill-llama-8b").using("bf16"))
    read = llama.attention.bytes + llama.copied.bytes + llama.dense.bytes + llama.head.bytes
    assert read == pytest.approx((8.030e9 - 128256 * 4096) * 2, rel=0.001)
    assert llama.kv_bytes_per_token == 131_072
    assert llama.experts == 0


def test_an_fp8_cache_halves_its_bytes_and_is_multiplied_in_fp8() -> None:
    model = Catalog.load().resolve("deepseek-r1")
    narrow = model_figures(model, cache_dtype="fp8")
    assert narrow.kv_bytes_per_token == 35_136
    assert narrow.attends == "fp8"


@pytest.mark.parametrize(
    ("layout", "batch", "tokens_per_s_per_gpu"),
    [
        # The bound for 2,048 tokens of context by bytes read alone, worked out by hand.
        (Layout(tensor=8), 32, 326),
        (Layout(tensor=8), 128, 761),
        (Layout(tensor=8), 256, 1272),
        (Layout(data=8, expert=True), 128, 769),
        (Layout(data=8, expert=True), 256, 1483),
    ],
)
def test_decode_of_r1_on_h200_is_bound_as_worked_out_by_hand(
    r1: ModelFigures,
    h200: HardwareFigures,
    layout: Layout,
    batch: int,
    tokens_per_s_per_gpu: float,
) -> None:
    work = Work(batch / layout.data, 2048)
    parts = step(work, layout, r1, h200, PERFECT)
    seconds = parts.attention + parts.feed_forward + parts.experts + parts.head
    # The hand's figure leaves out projections that are copied, and hot ranks.
    assert batch / seconds / 8 == pytest.approx(tokens_per_s_per_gpu, rel=0.09)


def test_prefill_of_r1_is_bound_by_its_operations(r1: ModelFigures, h200: HardwareFigures) -> None:
    layout = Layout(data=8, expert=True, redundant=32)
    parts = step(Work(prefill=65536, prompt=2048), layout, r1, h200, PERFECT)
    computing = parts.attention + parts.feed_forward
    # 2 × 15.26 billion parameters in FP8, and 2.50e6 × 2,048 operations in bfloat16, a token.
    by_hand = 65536 * (2 * 15.264e9 / 1979e12 + 2.4986e6 * 2048 / 989.5e12)
    assert computing == pytest.approx(by_hand, rel=0.001)
    assert parts.experts > 65536 * 2 * 8 * 2.554e9 / 1979e12


def test_a_kernel_takes_its_least_time(r1: ModelFigures, h200: HardwareFigures) -> None:
    slow = Factors(memory=1.0, compute=1.0, kernel_s=10e-6, request_s=0.0)
    parts = step(Work(1, 100), Layout(tensor=8), r1, h200, slow)
    assert parts.attention == pytest.approx(61 * 14 * 10e-6)
    assert parts.feed_forward + parts.experts == pytest.approx(61 * 16 * 10e-6)


def test_an_all_reduce_moves_each_hidden_state_nearly_twice(
    r1: ModelFigures, h200: HardwareFigures
) -> None:
    assert all_reduce_s(1000, 1, r1, h200) == 0
    by_hand = 122 * (10e-6 + 1000 * 7168 * 2 * 2 * 7 / 8 / (450e9 * 0.8))
    assert all_reduce_s(1000, 8, r1, h200) == pytest.approx(by_hand)


def test_a_token_goes_to_experts_on_other_ranks_only(
    r1: ModelFigures, h200: HardwareFigures
) -> None:
    by_hand = 58 * (20e-6 + 100 * 8 * 7 / 8 * 7168 * 3 / (450e9 * 0.9))
    assert all_to_all_s(100, 8, r1, h200, prefill_share=0) == pytest.approx(by_hand)
    assert all_to_all_s(100, 1, r1, h200, prefill_share=0) == 0


def test_prefill_sends_a_token_once_to_a_node_and_decode_once_to_an_expert(
    r1: ModelFigures,
) -> None:
    nodes = hardware_figures(Machine.load("4x8xh200"))
    decode = all_to_all_s(1000, 32, r1, nodes, prefill_share=0)
    prefill = all_to_all_s(1000, 32, r1, nodes, prefill_share=1)
    assert prefill < 0.6 * decode


def test_experts_touched() -> None:
    assert experts_touched(1, 256, 8) == pytest.approx(8)
    assert experts_touched(8, 256, 8) == pytest.approx(256 * (1 - (31 / 32) ** 8))
    assert experts_touched(10_000, 256, 8) == pytest.approx(256)
    assert hottest_share(8, 256, 8, 32) == pytest.approx(1 + 2.0, abs=0.2)
    assert hottest_share(256, 256, 8, 32) == 32


def test_drafts_and_balance() -> None:
    assert tokens_per_step(0) == 1
    assert tokens_per_step(1) == pytest.approx(1.85)
    assert 2.6 < tokens_per_step(3) < 2.8
    assert imbalance(256, 1, 0) == 1
    assert imbalance(256, 32, 0) > imbalance(256, 8, 0) > imbalance(256, 8, 32) > 1


def test_a_pipeline_splits_the_batch_over_its_stages(
    r1: ModelFigures, h200: HardwareFigures
) -> None:
    one = step(Work(64, 2048), Layout(tensor=8), r1, h200, PERFECT).seconds
    two = step(Work(128, 2048), Layout(tensor=8, pipeline=2), r1, h200, PERFECT).seconds
    assert two == pytest.approx(one + 2 * 40e-6)
