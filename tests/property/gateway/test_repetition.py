"""The period test: it finds each loop soon, and nothing where nothing loops."""

from __future__ import annotations

import random
from array import array
from itertools import cycle, islice

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.model_settings import Repetition
from gateway.protocol.heard import Heard
from gateway.protocol.repetition import Loop, LoopFinder, ends_in_a_loop, shaken
from serving.nano.data import draw

SMALL = Loop(longest=6, repeats=3, least=16)
USUAL = Loop(512, 4, 512)
TOKENS = st.lists(st.integers(0, 3), max_size=60)


def by_definition(tokens: list[int], loop: Loop) -> bool:
    """What `ends_in_a_loop` means, without any cleverness."""
    for period in range(1, loop.longest + 1):
        length = loop.length(period)
        if len(tokens) >= length:
            end = tokens[-length:]
            if all(end[i] == end[i - period] for i in range(period, length)):
                return True
    return False


def found_after(tokens: list[int], loop: Loop, every: int, size: int = 1) -> int | None:
    """After how many tokens a loop is found, if they come in pieces of `size`."""
    finder = LoopFinder(loop, every=every)
    for at in range(0, len(tokens), size):
        finder.feed(tokens[at : at + size])
        if finder.found:
            return at + size
    return None


@given(TOKENS, TOKENS, st.integers(0, 40))
def test_it_is_the_definition(before: list[int], round_: list[int], rounds: int) -> None:
    tokens = (before + round_ * rounds)[-200:]
    assert ends_in_a_loop(array("i", tokens).tobytes(), SMALL) == by_definition(tokens, SMALL)


@given(TOKENS, st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=6))
def test_tokens_of_any_bytes(before: list[int], round_: list[int]) -> None:
    tokens = before + round_ * 20
    assert ends_in_a_loop(array("i", tokens).tobytes(), SMALL)
    tokens.append(4)
    assert not ends_in_a_loop(array("i", tokens).tobytes(), SMALL)


@given(TOKENS, st.integers(1, 6), st.integers(1, 9), st.integers(1, 12), st.randoms())
def test_each_loop_is_found_soon(
    before: list[int], period: int, every: int, size: int, rng: random.Random
) -> None:
    round_ = [rng.randrange(4) for _ in range(period)]
    whole = before + list(islice(cycle(round_), 100))
    at = found_after(whole, SMALL, every, size)
    assert at is not None
    # Sooner, if what came before the loop happened to be like it.
    assert at <= len(before) + SMALL.length(period) + every + size


@given(st.lists(st.integers(0, 2**31 - 1), unique=True, max_size=300), st.integers(1, 9))
def test_nothing_is_found_where_no_token_comes_twice(tokens: list[int], every: int) -> None:
    assert found_after(tokens, SMALL, every) is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.integers(1, 9))
def test_it_never_fires_without_a_repeated_end(tokens: list[int], every: int) -> None:
    assume(not any(by_definition(tokens[:end], SMALL) for end in range(len(tokens) + 1)))
    assert found_after(tokens, SMALL, every) is None


@pytest.mark.parametrize("period", [1, 2, 7, 50, 128, USUAL.longest])
def test_the_usual_limits(period: int) -> None:
    rng = random.Random(period)
    before = [rng.randrange(100_000) for _ in range(3000)]
    round_ = [rng.randrange(100_000) for _ in range(period)]
    at = found_after(before + list(islice(cycle(round_), 4000)), USUAL, 32)
    assert at is not None
    assert at - len(before) <= USUAL.length(period) + 32
    longer = [rng.randrange(100_000) for _ in range(USUAL.longest + 1)]
    assert found_after(longer * 8, USUAL, 32) is None


TABLE = "| step | digits | carry |\n" + "|------|--------|-------|\n" * 1
TABLE += "".join(f"| {n} | {n % 10} + {n * 7 % 10} | {n % 2} |\n" for n in range(200))
HARMLESS = {
    "a table": TABLE,
    "a wide table": "|" + " --- |" * 60 + "\n" + "|" + " 0 |" * 60 + "\n",
    "digits of a third": "1/3 = 0." + "3" * 200 + "…",
    "digits": "".join(str(n * n) for n in range(900)),
    "code": "def f(x):\n" + "".join(" " * 4 * (n % 9) + f"if x[{n}] > {n}:\n" for n in range(200)),
    "indentation": "if a:\n" + " " * 300 + "b()\n" + " " * 300 + "c()\n",
    "laughter": "Ha ha ha ha ha ha ha! " * 3 + "ha " * 40 + "That is a good one.",
    "a list": "".join(f"{n}. Check the number {n}.\n" for n in range(300)),
    "a ruler": "=" * 400 + "\nTitle\n" + "=" * 400,
    "doubt": "Wait, is that right? Let me check again. " * 8 + "Yes, it is.",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_looks_like_a_loop_and_is_none(name: str) -> None:
    """By characters, four of which count as a token, and by tokens that are characters."""
    text = HARMLESS[name]
    heard = Heard(keeps=False, loop=USUAL)
    for at in range(0, len(text), 3):
        heard.said((), text[at : at + 3])
        assert not heard.loops, text[: at + 3][-80:]
    assert found_after([ord(each) for each in text], USUAL, 1, 5) is None


def test_the_reasoning_of_arithmetic_is_no_loop() -> None:
    """What r1-nano was taught to write, looked at after each token, which is a character there.

    By limits that are far stricter than the usual ones.
    """
    rng = random.Random(5)
    answers = [draw(rng).completion for _ in range(500)]
    assert max(map(len, answers)) > 200
    for answer in answers:
        assert found_after([ord(each) for each in answer], Loop(64, 4, 64), 1) is None, answer


def test_the_settings_say_what_is_usual() -> None:
    assert Repetition().loop is None
    assert Repetition(action="stop").loop == USUAL


def test_the_sampling_that_leads_out() -> None:
    hot = {"temperature": 1.3, "top_p": 0.5, "n": 1}
    assert shaken(hot, 0.6) == {
        "temperature": 1.3, "top_p": 0.9, "repetition_penalty": 1.2, "n": 1,
    }  # fmt: skip
    assert shaken({"temperature": 0}, 0.9)["temperature"] == 0.8
    assert shaken({}, 0.9)["temperature"] == 0.9
    assert shaken({"temperature": None}, None)["temperature"] == 0.8
