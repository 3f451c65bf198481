"""The queueing layer against the simulator, which plays the same steps one by one."""

import math
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from serving.plan.calibration import CALIBRATED
from serving.plan.group import Group
from serving.plan.load import Lengths, Load
from serving.plan.outlook import outlook
from serving.plan.published import Measurement, PublishedList, predict
from serving.plan.queueing import at_rate, closed
from serving.simulator.blocks import Blocks
from serving.simulator.drafts import accepted
from serving.simulator.planned import PlannedTiming
from serving.simulator.ranks import Ranks
from serving.simulator.scheduler import Limits
from serving.simulator.trial import Request, Seen, play, quantile

PUBLISHED = {run.id: run for run in PublishedList.load().fitted}
TP8 = PUBLISHED["SGLang TP8, 8 users"].engine.group(CALIBRATED)
DEP8 = PUBLISHED["TensorRT-LLM DEP8, 1k/1k"].engine.group(CALIBRATED)
A40 = PUBLISHED["Distill-Llama-8B on A40"].engine.group(CALIBRATED)
ANSWER = Lengths(150, 0.5)


def ranks(group: Group) -> Ranks:
    blocks = [Blocks(int(min(group.kv_tokens, 1e6)) // 16, 16) for _ in range(group.layout.data)]
    limits = Limits(int(group.max_num_seqs), int(group.max_batched_tokens), 1 + group.drafts)
    draw = random.Random(3).random
    return Ranks(blocks, limits, accepted(0.85, group.drafts, draw) if group.drafts else None)


def drawn(lengths: Lengths, rng: random.Random) -> int:
    centre = math.log(lengths.mean) - lengths.spread**2 / 2
    return max(1, round(rng.lognormvariate(centre, lengths.spread)))


def requests(load: Load, count: int) -> Iterator[Request]:
    rng, now = random.Random(5), 0.0
    for _ in range(count):
        now += rng.expovariate(load.requests_per_s) if load.requests_per_s else 0.0
        yield Request(now, drawn(load.prompt, rng), drawn(load.answer, rng))


def played(group: Group, load: Load, count: int) -> Seen:
    users = int(load.users or 0)
    return play(ranks(group), PlannedTiming(group), requests(load, count), users)


@pytest.mark.parametrize(
    ("group", "load", "count"),
    [
        (TP8, Load(requests_per_s=2, prompt=Lengths(1000, 0.8), answer=ANSWER), 400),
        (TP8, Load(requests_per_s=8, prompt=Lengths(1000, 0.8), answer=ANSWER), 600),
        (A40, Load(requests_per_s=2, prompt=Lengths(300, 0.5), answer=ANSWER), 400),
        (DEP8, Load(requests_per_s=6, prompt=Lengths(1000, 0.5), answer=ANSWER), 400),
    ],
    ids=["TP8 quiet", "TP8 busy", "A40", "DEP8"],
)
def test_times_under_random_arrivals_are_those_of_the_simulator(
    group: Group, load: Load, count: int
) -> None:
    seen, told = played(group, load, count), outlook(group, load)
    assert told is not None
    request_s = group.factors.request_s
    for share, near in ((0.5, 0.15), (0.9, 0.35)):
        assert told.ttft_s(share) == pytest.approx(
            quantile(seen.ttft_s, share) + request_s, rel=near
        )
        assert told.e2e_s(share) == pytest.approx(quantile(seen.e2e_s, share) + request_s, rel=0.15)
    assert told.ttft_s(0.99) == pytest.approx(quantile(seen.ttft_s, 0.99) + request_s, rel=0.5)
    mean = sum(seen.tpot_s) / len(seen.tpot_s)
    assert told.state.tpot_s == pytest.approx(mean, rel=0.12)


def test_drafts_yield_in_the_simulator_what_the_plan_says() -> None:
    group = replace(TP8, drafts=3)
    load = Load(users=4, prompt=Lengths(200), answer=Lengths(300, 0.3))
    seen = played(group, load, 60)
    told = closed(group, load)
    assert sum(seen.tpot_s) / len(seen.tpot_s) == pytest.approx(told.tpot_s, rel=0.1)


def test_a_small_cache_bounds_the_batch_in_both() -> None:
    group = replace(TP8, kv_tokens=16_000)
    load = Load(users=64, prompt=Lengths(800, 0.2), answer=Lengths(200, 0.2))
    told = closed(group, load)
    assert told.decoding < 18
    seen = played(group, load, 240)
    assert seen.tokens_per_s == pytest.approx(told.tokens_per_s, rel=0.2)


PLAYED = [
    run for run in PUBLISHED.values() if run.closed is not None and run.closed.users in {1, 8, 64}
]


@pytest.mark.parametrize("run", PLAYED, ids=lambda run: run.id)
def test_the_simulator_reproduces_published_runs_within_the_plans_own_error(
    run: Measurement,
) -> None:
    assert run.closed is not None
    assert run.closed.users is not None
    group, users = run.engine.group(CALIBRATED), run.closed.users
    # Lengths vary a little: users that ask for equal ones would stay in step for ever.
    load = Load(
        users=users, prompt=Lengths(run.closed.prompt, 0.1), answer=Lengths(run.closed.answer, 0.1)
    )
    seen = played(group, load, 2 * users + 2)
    tpot_ms = 1e3 * sum(seen.tpot_s) / len(seen.tpot_s)
    told = predict(run, group)
    assert tpot_ms == pytest.approx(told["tpot_ms"], rel=0.1)
    rate = users / group.layout.devices / (tpot_ms / 1e3)
    figures = run.figures
    measured = figures.tokens_per_s_per_gpu or (figures.tokens_per_s or 0) / group.layout.devices
    if figures.tpot_ms is not None:
        measured = users / group.layout.devices / (figures.tpot_ms / 1e3)
    own = abs(told["tokens_per_s_per_gpu"] / measured - 1)
    assert rate / measured - 1 == pytest.approx(0, abs=own + 0.1)


def test_more_than_a_group_can_serve_has_no_steady_state() -> None:
    load = Load(requests_per_s=1e4)
    assert at_rate(TP8, load) is None
    assert outlook(TP8, load) is None


def test_who_finds_no_place_waits_for_one() -> None:
    group = replace(TP8, max_num_seqs=8)
    load = Load(users=16, answer=Lengths(500))
    told = outlook(group, load)
    assert told is not None
    assert told.ttft_s(0.5) > 0.5 * 500 * told.state.tpot_s


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "not both and not neither"),
        ({"users": 1.0, "requests_per_s": 1.0}, "not both and not neither"),
        ({"users": -1.0}, "above 0"),
        ({"users": 1.0, "prefix_hits": 1.0}, "prefix_hits"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused(given: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Load(**given)  # type: ignore[arg-type]
