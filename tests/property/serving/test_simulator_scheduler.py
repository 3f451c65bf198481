"""Continuous batching in the simulator: nothing lost, nothing doubled, no block used twice."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.simulator.blocks import Blocks
from serving.simulator.scheduler import Limits, Scheduler, Sequence
from serving.simulator.timing import Step

BLOCK = 4


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Scheduler, list[Sequence], list[int]]:
    """A scheduler, sequences that fit it, and the step at which each one arrives."""
    count = draw(st.integers(4, 24))
    limits = Limits(
        sequences=draw(st.integers(1, 6)),
        batched_tokens=draw(st.integers(1, 40)),
        tokens_per_step=draw(st.integers(1, 5)),
    )
    sequences, arrivals = [], []
    for _ in range(draw(st.integers(1, 8))):
        prompt = draw(st.integers(1, count * BLOCK - 1))
        answer = draw(st.integers(1, count * BLOCK - prompt))
        # Few different tokens and salts, so that prefixes are shared often.
        tokens = [draw(st.integers(0, 1))] * prompt + [2] * answer
        sequences.append(Sequence(tokens, prompt, draw(st.sampled_from(["", "other"]))))
        arrivals.append(draw(st.integers(0, 20)))
    return Scheduler(Blocks(count, BLOCK), limits), sequences, arrivals


def no_block_is_lost(scheduler: Scheduler) -> bool:
    held = {block for each in scheduler.running for block in each.blocks}
    return len(held) + scheduler.blocks.available == scheduler.blocks.count


@given(scenes())
def test_every_sequence_gets_each_of_its_tokens_once_and_in_order(
    scene: tuple[Scheduler, list[Sequence], list[int]],
) -> None:
    scheduler, sequences, arrivals = scene
    got: dict[Sequence, int] = {}
    finished = Counter[Sequence]()
    for turn in range(100_000):
        for sequence, arrival in zip(sequences, arrivals, strict=True):
            if arrival == turn:
                scheduler.add(sequence)
        if not scheduler.busy and turn > max(arrivals):
            break
        step = scheduler.plan()
        assert not scheduler.busy or step.prefill + step.decoding > 0
        assert step.prefill + step.decoding <= scheduler.limits.batched_tokens
        assert len(scheduler.running) <= scheduler.limits.sequences
        assert no_block_is_lost(scheduler)
        for output in scheduler.complete():
            assert output.first == got.get(output.sequence, output.sequence.prompt)
            assert output.first < output.last <= output.first + scheduler.limits.tokens_per_step
            got[output.sequence] = output.last
            finished[output.sequence] += output.finished
    assert got == {each: len(each.tokens) for each in sequences}
    assert finished == Counter(sequences)
    assert scheduler.blocks.used_share == 0


@given(scenes(), st.data())
def test_an_aborted_sequence_is_gone_and_the_others_finish(
    scene: tuple[Scheduler, list[Sequence], list[int]], data: st.DataObject
) -> None:
    scheduler, sequences, _ = scene
    for sequence in sequences:
        scheduler.add(sequence)
    gone = data.draw(st.sampled_from(sequences))
    at = data.draw(st.integers(0, 5))
    between = data.draw(st.booleans())
    finished: set[Sequence] = set()
    for turn in range(100_000):
        if turn == at and not between:
            scheduler.abort(gone)
        scheduler.plan()
        if turn == at and between:
            scheduler.abort(gone)
        outputs = list(scheduler.complete())
        assert turn < at or gone not in {output.sequence for output in outputs}
        finished |= {output.sequence for output in outputs if output.finished}
        if turn >= at and not scheduler.busy:
            break
    assert finished | {gone} == set(sequences)
    assert scheduler.blocks.used_share == 0


def run(scheduler: Scheduler, sequence: Sequence) -> list[Step]:
    scheduler.add(sequence)
    steps = []
    while scheduler.busy:
        steps.append(scheduler.plan())
        list(scheduler.complete())
    return steps


def test_a_prompt_that_was_there_before_is_computed_from_the_cache() -> None:
    scheduler = Scheduler(Blocks(64, BLOCK), Limits())
    prompt = list(range(10))
    first, again, other = (Sequence([*prompt, 1, 2], 10, salt) for salt in ("a", "a", "b"))
    assert [step.prefill for step in run(scheduler, first)] == [10, 0]
    assert [step.prefill for step in run(scheduler, again)] == [2, 0]
    assert again.cached == 8
    # Another tenant's salt: nothing is shared.
    assert [step.prefill for step in run(scheduler, other)] == [10, 0]
    assert (scheduler.queried, scheduler.found) == (30, 8)


def test_a_long_prompt_is_prefilled_in_chunks_beside_decoding() -> None:
    scheduler = Scheduler(Blocks(64, BLOCK), Limits(batched_tokens=8))
    scheduler.add(Sequence([1] * 4 + [2] * 10, 4))
    scheduler.plan()
    list(scheduler.complete())
    scheduler.add(Sequence([3] * 20 + [4], 20))
    steps = []
    for _ in range(4):
        steps.append(scheduler.plan())
        list(scheduler.complete())
    assert [(step.prefill, step.decoding) for step in steps] == [(7, 1), (7, 1), (6, 1), (0, 1)]


def test_the_youngest_is_preempted_where_memory_is_short() -> None:
    scheduler = Scheduler(Blocks(4, BLOCK), Limits())
    old, young = Sequence([1] * 4 + [5] * 10, 4), Sequence([2] * 4 + [6] * 10, 4)
    order = []
    scheduler.add(old)
    scheduler.add(young)
    while scheduler.busy:
        scheduler.plan()
        order += [output.sequence for output in scheduler.complete() if output.finished]
    assert order == [old, young]
    assert (old.preemptions, young.preemptions, scheduler.preemptions) == (0, 1, 1)


def test_what_never_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="never fit"):
        Scheduler(Blocks(2, BLOCK), Limits()).add(Sequence([1] * 9, 4))
