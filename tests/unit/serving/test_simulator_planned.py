"""A simulated engine of the catalog: limits, ranks, drafts and cold start are the plan's."""

import random

import pytest

from serving.catalog import Catalog
from serving.hardware import Machine
from serving.plan.load import Lengths, Load
from serving.plan.queueing import closed
from serving.plan.roofline import Work
from serving.simulator.__main__ import build, main, parser, plan_of, ranks_of
from serving.simulator.blocks import Blocks
from serving.simulator.drafts import accepted
from serving.simulator.planned import PlannedTiming, planned
from serving.simulator.ranks import Ranks
from serving.simulator.scheduler import Limits, Sequence
from serving.simulator.timing import Step, Timing
from serving.simulator.trial import Request, play

THROUGHPUT = ["--model", "deepseek-r1", "--hardware", "8xh200", "--profile", "throughput"]


def test_an_engine_of_the_catalog_has_the_plans_ranks_and_limits() -> None:
    args = parser().parse_args(THROUGHPUT)
    plan = plan_of(args)
    assert plan is not None
    ranks = ranks_of(args, plan, plan.context)
    assert len(ranks.schedulers) == 8
    assert ranks.capacity == 8 * 256
    tokens = ranks.schedulers[0].blocks.count * 16
    assert 200_000 < tokens == pytest.approx(plan.group.kv_tokens, abs=16)
    server = build(args, plan)
    assert server.models == ("deepseek-r1",)
    assert server.engine.ranks.capacity == ranks.capacity


def test_what_is_given_wins_over_the_plan() -> None:
    args = parser().parse_args(
        [*THROUGHPUT, "--max-num-seqs", "4", "--data-parallel-size", "2", "--kv-tokens", "65536"]
    )
    plan = plan_of(args)
    ranks = ranks_of(args, plan, 4096)
    assert ranks.capacity == 8
    assert ranks.schedulers[0].blocks.count == 65536 // 16


def test_without_hardware_the_engine_is_as_the_options_say() -> None:
    args = parser().parse_args(["--tokens-per-step", "3", "--step-ms", "5"])
    assert plan_of(args) is None
    ranks = ranks_of(args, None, 4096)
    assert len(ranks.schedulers) == 1
    assert ranks.schedulers[0].limits == Limits(256, 8192, 3)
    assert build(args).controls.timing() == Timing(step_s=0.005)


def test_drafts_are_the_profiles() -> None:
    plan = planned("deepseek-r1", "8xh200", "latency")
    assert plan.group.drafts == 1
    assert plan.limits.tokens_per_step == 2


def test_a_cold_start_takes_as_long_as_the_weights_need() -> None:
    large = planned("deepseek-r1", "8xh200", "latency")
    small = planned("deepseek-r1-distill-qwen-7b", "1xh100", "default")
    # 689 GB from a disk of 2 GB/s, and what every start takes.
    assert large.cold_start_s - small.cold_start_s == pytest.approx((688.6 - 15.2) / 2, rel=0.02)
    assert 100 < small.cold_start_s < 300


def test_a_name_that_is_unknown_is_told() -> None:
    with pytest.raises(SystemExit, match="no machine shape is called `9xh200`"):
        main(["--model", "deepseek-r1", "--hardware", "9xh200"])


def test_a_step_takes_what_the_plan_says() -> None:
    plan = planned("deepseek-r1", "8xh200", "throughput")
    steps = [Step(0, 10, 20_000)] * 8
    assert plan.timing().seconds(steps) == pytest.approx(plan.group.seconds(Work(10, 2000)))
    assert plan.timing(2.0).seconds(steps) == pytest.approx(2 * plan.timing().seconds(steps))


def test_all_ranks_wait_for_the_one_with_a_prompt() -> None:
    timing = planned("deepseek-r1", "8xh200", "throughput").timing()
    quiet = [Step(0, 10, 20_000)] * 8
    one = [Step(4000, 10, 20_000), *quiet[1:]]
    assert timing.seconds(one) > 2 * timing.seconds(quiet)
    linear = Timing(step_s=0.01, per_prefill_token_s=1e-5)
    assert linear.seconds(one) == pytest.approx(0.05)


def test_faster_hardware_decodes_faster() -> None:
    times = [
        planned("deepseek-r1-distill-qwen-7b", shape, "default")
        .timing()
        .seconds([Step(0, 8, 8000)])
        for shape in ("1xl4", "1xa100-80", "1xh100")
    ]
    assert times == sorted(times, reverse=True)


def test_a_sequence_goes_to_the_rank_with_fewest() -> None:
    ranks = Ranks([Blocks(64, 16) for _ in range(3)], Limits())
    sequences = [Sequence([place] * 20, 10) for place in range(6)]
    for sequence in sequences:
        ranks.add(sequence)
        ranks.plan()
    assert [len(each.running) for each in ranks.schedulers] == [2, 2, 2]
    ranks.abort(sequences[0])
    ranks.abort(sequences[0])
    assert len(ranks.running) == 5
    assert ranks.waiting == []
    assert 0 < ranks.used_share < 1
    while ranks.busy:
        ranks.plan()
        list(ranks.complete())
    assert ranks.used_share == 0


@pytest.mark.parametrize(("drafts", "expected"), [(1, 1.85), (3, 2.74)])
def test_drafts_are_kept_as_often_as_published(drafts: int, expected: float) -> None:
    count = accepted(0.85, drafts, random.Random(1).random)
    kept = [count() for _ in range(20_000)]
    assert max(kept) == drafts
    assert 1 + sum(kept) / len(kept) == pytest.approx(expected, rel=0.01)


def test_a_trial_counts_every_token_once() -> None:
    ranks = Ranks([Blocks(256, 16)], Limits(4))
    wanted = [Request(0.1 * place, 30, 20 + place) for place in range(12)]
    seen = play(ranks, Timing(step_s=0.01), iter(wanted))
    assert seen.tokens == sum(each.answer for each in wanted)
    assert len(seen.ttft_s) == len(seen.e2e_s) == len(seen.tpot_s) == 12
    assert min(seen.ttft_s) >= 0.01
    assert seen.seconds > 1.1


def test_data_parallel_groups_in_the_simulator_are_as_fast_as_planned() -> None:
    plan = planned("deepseek-r1", "8xh200", "throughput")
    assert Catalog.load().resolve("deepseek-r1")
    assert Machine.load("8xh200").gpus == 8
    load = Load(users=64, prompt=Lengths(300, 0.1), answer=Lengths(150, 0.3))
    rng = random.Random(2)
    requests = (Request(0.0, 300, rng.randint(80, 220)) for _ in range(256))
    ranks = Ranks([Blocks(40_000, 16) for _ in range(8)], plan.limits)
    seen = play(ranks, PlannedTiming(plan.group), requests, users=64)
    told = closed(plan.group, load)
    assert sum(seen.tpot_s) / len(seen.tpot_s) == pytest.approx(told.tpot_s, rel=0.2)
