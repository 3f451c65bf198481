"""A replica by its mean: every answer ends once, limits hold, and the mean is the exact one."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_test
from hypothesis import strategies as st

from r1.fleet.clock import run
from r1.fleet.scale.machine import Machine
from r1.fleet.scale.replica import Job, Replica
from serving.simulator import trial
from serving.simulator.blocks import Blocks
from serving.simulator.ranks import Ranks
from serving.simulator.scheduler import Limits
from serving.simulator.timing import Step, Timing

TIMING = Timing(0.02, 0.0003, 1e-8, 3e-5)


def machine(sequences: int = 8, kv_tokens: int = 20_000, batched_tokens: int = 512) -> Machine:
    def step_s(decoding: int, context: float, prefill: int) -> float:
        return TIMING.seconds([Step(prefill, decoding, round(decoding * context))])

    return Machine(sequences, batched_tokens, kv_tokens, 1.0, 60.0, 24.0, 6.0, step_s)


@dataclass(eq=False)
class Heard:
    """What one answer's listener was told."""

    asked_s: float
    first_s: list[float] = field(default_factory=list)
    ends: list[tuple[float, int, bool]] = field(default_factory=list)

    def first(self) -> None:
        self.first_s.append(asyncio.get_running_loop().time())

    def ended(self, tokens: int, *, lost: bool) -> None:
        self.ends.append((asyncio.get_running_loop().time(), tokens, lost))


def load(rate: float, number: int, seed: int = 1) -> list[trial.Request]:
    chance, at_s, requests = random.Random(seed), 0.0, []
    for _ in range(number):
        at_s += chance.expovariate(rate)
        requests.append(
            trial.Request(at_s, 1 + int(chance.expovariate(1 / 200)), 2 + chance.randrange(200))
        )
    return requests


def by_mean(requests: list[trial.Request], of: Machine) -> list[Heard]:
    async def main() -> list[Heard]:
        loop = asyncio.get_running_loop()
        replica, heard = Replica("http://one", 0, of, loop), []
        for number, each in enumerate(requests):
            await asyncio.sleep(each.at_s - loop.time())
            heard.append(Heard(loop.time()))
            replica.start(Job(each.prompt, each.answer, number, heard[-1]))
        while replica.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(1.0)
        return heard

    return run(main())


@pytest.mark.parametrize("rate", [1.0, 2.5])
def test_the_mean_is_that_of_an_engine_played_step_by_step(rate: float) -> None:
    requests, of = load(rate, 400), machine(sequences=16)
    blocks = Blocks(of.kv_tokens // 16, 16)
    ranks = Ranks([blocks], Limits(of.sequences, of.batched_tokens))
    exact = trial.play(ranks, TIMING, iter(requests))
    heard = by_mean(requests, of)
    firsts = [each.first_s[0] - each.asked_s for each in heard]
    whole = [each.ends[0][0] - each.asked_s for each in heard]
    assert sum(whole) == pytest.approx(sum(exact.e2e_s), rel=0.03)
    assert sum(firsts) == pytest.approx(sum(exact.ttft_s), rel=0.05)
    for share in (0.5, 0.99):
        told = trial.quantile(firsts, share)
        assert told == pytest.approx(trial.quantile(exact.ttft_s, share), rel=0.1)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(("ask", "ask", "ask", "leave", "wait", "slow")), st.integers(0, 2000)
    ),
    max_size=60,
)


@settings_of_test(max_examples=60)
@given(ACTS, st.integers(1, 6), st.sampled_from((600, 3000, 30_000)), st.booleans())
def test_every_answer_ends_once_and_limits_hold(
    acts: list[tuple[str, int]], sequences: int, kv_tokens: int, dies: bool
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        of = machine(sequences, kv_tokens)
        replica = Replica("http://one", 0, of, loop)
        jobs: list[tuple[Job, Heard]] = []
        left: set[int] = set()
        for act, value in acts:
            if act == "ask":
                heard = Heard(loop.time())
                context, answer = 1 + value % (kv_tokens // 4), 1 + value % 100
                jobs.append((Job(context, answer, value % 3, heard), heard))
                replica.start(jobs[-1][0])
            elif act == "leave" and jobs:
                replica.stop(jobs[value % len(jobs)][0])
                if not jobs[value % len(jobs)][1].ends:
                    left.add(value % len(jobs))
            elif act == "slow":
                replica.slow = 1.0 + value % 4
            else:
                await asyncio.sleep(value / 1000)
            assert replica.held <= kv_tokens * 1.01 + of.batched_tokens + sequences * 100
        if dies:
            replica.lose()
        for _ in range(10_000):
            if not replica.in_flight:
                break
            await asyncio.sleep(1.0)
        assert replica.in_flight == 0
        assert abs(replica.held) < 1e-3
        for number, (job, heard) in enumerate(jobs):
            assert len(heard.ends) == (number not in left)
            assert len(heard.first_s) <= 1
            for _, tokens, lost in heard.ends:
                assert tokens == job.answer or (lost and dies and 0 <= tokens <= job.answer)
                assert lost or heard.first_s

    run(main())


def test_a_conversation_goes_on_where_it_is_known() -> None:
    one, two = trial.Request(0.0, 400, 50), trial.Request(60.0, 450, 50)

    async def ttft(conversation: int) -> float:
        loop = asyncio.get_running_loop()
        replica = Replica("http://one", 0, machine(), loop)
        replica.start(Job(one.prompt, one.answer, 1, Heard(0.0)))
        await asyncio.sleep(two.at_s)
        heard = Heard(loop.time())
        replica.start(Job(two.prompt, two.answer, conversation, heard))
        await asyncio.sleep(60.0)
        return heard.first_s[0] - heard.asked_s

    assert run(ttft(1)) < 0.8 * run(ttft(2))


def test_a_full_cache_makes_the_youngest_start_over() -> None:
    requests = [trial.Request(0.0, 300, 300) for _ in range(4)]
    tight = by_mean(requests, machine(kv_tokens=1600))
    roomy = by_mean(requests, replace(machine(), kv_tokens=16_000))
    assert max(each.ends[0][0] for each in tight) > max(each.ends[0][0] for each in roomy)
    assert all(each.ends[0][1] == 300 for each in tight)
