"""What users do is drawn from a seed, and can be judged."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.ruler import USUAL, words_per_token
from loadtests.client.ask import Ask, Target
from loadtests.client.call import DONE, Call, Said
from loadtests.load.lengths import Lengths
from loadtests.load.trace import BLOCK, Arrival
from loadtests.swarm.kept import call_of, plain
from loadtests.users.draw import Draw, says
from loadtests.users.hot import EXPONENT, shares
from loadtests.users.kinds import KINDS, UNRULY, Mix
from loadtests.users.replayed import prompt_of

LENGTHS = Lengths(((30, 20), (90, 200)), 64, 100)
SEEDS = st.integers(0, 2**32)


def draw(seed: int) -> Draw:
    return Draw(random.Random(seed), LENGTHS, words_per_token=1.0)


def asks(name: str, seed: int) -> list[Ask]:
    """A conversation with somebody who always has a whole answer."""
    talk = KINDS[name].talk(draw(seed))
    made, ask = [], next(talk, None)
    while ask is not None:
        made.append(ask)
        said = Said(content="\\boxed{1}", tool="add", tools={0: '{"a": 1, "b": 2}'})
        call = Call(name, 0.0, 0.0, ending=DONE, said=said)
        call.right = ask.right(said) if ask.right else None
        try:
            ask = talk.send(call)
        except StopIteration:
            break
    return made


@given(st.sampled_from([*KINDS]), SEEDS)
def test_the_same_seed_asks_the_same(name: str, seed: int) -> None:
    bodies = [each.body for each in asks(name, seed)]
    assert bodies
    assert bodies == [each.body for each in asks(name, seed)]


@given(st.sampled_from([*KINDS]), SEEDS)
def test_every_call_is_bounded(name: str, seed: int) -> None:
    for each in asks(name, seed):
        assert 1 <= each.body["max_tokens"] <= 512
        assert "model" not in each.body
        assert 200 in each.expected
        # Only who misbehaves leaves, dawdles, or takes a refusal for granted.
        strange = each.leaves_after or each.bytes_per_s or each.expected != {200}
        assert not strange or name in UNRULY


@given(SEEDS)
def test_a_chats_history_grows(seed: int) -> None:
    turns = [each.body["messages"] for each in asks("chat", seed)]
    assert 2 <= len(turns) <= 5
    for before, after in itertools.pairwise(turns):
        assert after[: len(before)] == before
        assert [each["role"] for each in after[len(before) :]] == ["assistant", "user"]


def test_a_failed_turn_ends_the_chat() -> None:
    talk = KINDS["chat"].talk(draw(1))
    next(talk)
    with pytest.raises(StopIteration):
        talk.send(Call("chat", 0.0, 0.0))


def test_prompts_are_hot_by_zipfs_law() -> None:
    cumulative = shares()
    single = [b - a for a, b in zip((0.0, *cumulative), cumulative, strict=False)]
    for rank in (2, 10, 1000):
        assert single[0] / single[rank - 1] == pytest.approx(rank**EXPONENT)
    texts = [asks("hot", seed)[0].body["messages"][0]["content"] for seed in range(2000)]
    assert texts.count("What is 0 + 0?") / 2000 == pytest.approx(1 / cumulative[-1], rel=0.25)


@given(st.integers(-9999, 9999), st.integers(-9999, 9999))
def test_a_number_is_judged_by_what_is_said_last(number: int, other: int) -> None:
    right = says(number)
    assert right(Said(content=f"{other} … \\boxed{{{number}}}"))
    assert right(Said(content=f"{other}, so it is {number}."))
    assert right(Said(content=f"\\boxed{{{other}}}")) is (number == other)
    assert right(Said(content="I only know arithmetic.")) is False
    assert right(Said(content=f"\\boxed{{{other}}}", finish="length")) is None


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4), st.integers(1, 4), SEEDS)
def test_prompts_of_a_trace_share_what_their_blocks_share(
    blocks: list[int], shared: int, seed: int
) -> None:
    tokens = BLOCK * len(blocks) + 10
    other = [*blocks[:shared], *(each + 100 for each in blocks[shared:])]
    one = prompt_of(draw(seed), Arrival(0, tokens, 1, tuple(blocks)), tokens).split()
    two = prompt_of(draw(seed + 1), Arrival(0, tokens, 1, tuple(other)), tokens).split()
    alike = BLOCK * min(shared, len(blocks))
    assert len(one) == len(two) == tokens
    assert one[:alike] == two[:alike]
    assert one != two


def test_a_mix_is_read_and_its_faults_are_named() -> None:
    mix = Mix.parse("chat=3, reasoning,batch=0.5")
    assert mix.weights == (("chat", 3.0), ("reasoning", 1.0), ("batch", 0.5))
    rng = random.Random(1)
    chosen = [mix.choose(rng).name for _ in range(4500)]
    assert chosen.count("chat") == pytest.approx(3000, rel=0.1)
    for text, says_so in (("x", "no users 'x'"), ("chat=0", "above 0"), ("chat=a", "above 0")):
        with pytest.raises(ValueError, match=says_so):
            Mix.parse(text)


@given(st.floats(0.2, 5), st.integers(0, 100))
def test_words_are_measured_without_their_template(per_token: float, template: int) -> None:
    few, many = round(8 / per_token) + template, round(72 / per_token) + template
    assert words_per_token([few, many]) == pytest.approx(per_token, rel=0.1)
    assert words_per_token([0, 0]) == USUAL


@given(st.floats(0, 1e6), st.lists(st.floats(0, 1), max_size=5), st.sampled_from([None, True]))
def test_a_call_comes_to_the_master_as_it_was(
    due: float, gaps: list[float], right: bool | None
) -> None:
    call = Call("chat", due, due + 1, due + 3, due + 2, gaps, "cut", 200, "x", right=right)
    call.said = Said(content="a secret", prompt_tokens=3, completion_tokens=4, finish="stop")
    sent = plain(call, 100.0)
    assert "a secret" not in str(sent)
    back = call_of(sent)
    assert (back.ttft, back.e2el) == pytest.approx((call.ttft, call.e2el), abs=1e-6)
    assert (back.ending, back.right, back.gaps) == (call.ending, right, gaps)


def test_an_address_and_its_request() -> None:
    target = Target("https://host/v1", "m", "key", {"abusive": "other"})
    assert (target.host, target.port, target.secure) == ("host", 443, True)
    head, _, body = target.request("abusive", Ask({"stream": True})).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    assert "authorization: Bearer other" in lines
    assert f"content-length: {len(body)}" in lines
    assert b"include_usage" in body
    assert "key" not in repr(target)
    for wrong in ("host/v1", "ftp://host"):
        with pytest.raises(ValueError, match="no address"):
            Target(wrong, "m")
