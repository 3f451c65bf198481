"""Answers of the simulator: repeatable, continued where they were cut, ended where asked."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.simulator.answers import (
    END_THINK,
    EOS,
    Manner,
    answer,
    decode,
    encode,
    noise,
    prompt_of,
    written,
)

WORDS = noise(0)
PROMPT = prompt_of([{"role": "user", "content": "What is 7+5?"}])


@given(st.integers(0, 161), st.sampled_from([Manner(), Manner("12 — 二", "\\boxed{12}")]))
def test_a_cut_answer_goes_on_as_it_would_have(cut: int, manner: Manner) -> None:
    whole = answer(PROMPT, manner, WORDS, limit=1000).ids
    kept = whole[: min(cut, len(whole) - 1)]
    rest = answer(PROMPT + kept, manner, WORDS, limit=1000).ids
    assert kept + rest == whole


@given(st.integers(0, 299))
def test_an_answer_that_passes_its_end_goes_on_where_it_was_cut_too(cut: int) -> None:
    whole = answer(PROMPT, Manner(), WORDS, limit=300, ignore_eos=True).ids
    rest = answer(PROMPT + whole[:cut], Manner(), WORDS, limit=300 - cut, ignore_eos=True).ids
    assert whole[:cut] + rest == whole
    # A stream has no text for it, /detokenize has.
    assert whole.count(EOS) == 1
    assert written(whole).replace(written([EOS]), "") == decode(whole) != written(whole)


def test_the_form_of_an_answer() -> None:
    ids = answer(PROMPT, Manner(reasoning_tokens=7, content_tokens=3), WORDS, limit=100).ids
    assert (ids.index(END_THINK), len(ids), ids[-1]) == (7, 12, EOS)
    plain = prompt_of([{"role": "user", "content": "hi"}], thinking=False)
    assert END_THINK not in answer(plain, Manner(), WORDS, limit=100).ids


@given(st.integers(0, 20), st.integers(0, 20))
def test_the_think_block_is_closed_where_its_tokens_are_used_up(budget: int, cut: int) -> None:
    def said(prompt: list[int]) -> list[int]:
        return answer(prompt, Manner("7+5=12", "12"), WORDS, limit=100, budget=budget).ids

    whole = said(PROMPT)
    # The prompt's last token, a line end, is in the think block already.
    assert decode(whole[:-1]) == "7+5=12"[: max(0, budget - 1)] + "</think>12"
    kept = whole[: min(cut, len(whole) - 1)]
    assert kept + said(PROMPT + kept) == whole


def test_other_prompts_and_other_chances_have_other_answers() -> None:
    said = {
        tuple(answer(prompt, Manner(), WORDS, limit=50, nonce=nonce).ids)
        for prompt in (PROMPT, prompt_of([{"role": "user", "content": "What is 7+6?"}]))
        for nonce in (0, 1, 2)
    }
    assert len(said) == 6


@pytest.mark.parametrize(
    ("stops", "limit", "said", "finish", "stop"),
    [
        ((), 100, "ab cd</think>ef", "stop", None),
        ((), 4, "ab c", "length", None),
        ((" c", "b"), 100, "a", "stop", "b"),
        (("e",), 100, "ab cd</think>", "stop", "e"),
        (("e",), 3, "ab ", "length", None),
    ],
)
def test_the_end_of_an_answer(
    stops: tuple[str, ...], limit: int, said: str, finish: str, stop: str | None
) -> None:
    got = answer(PROMPT, Manner("ab cd", "ef"), WORDS, limit=limit, stops=stops)
    assert (decode(got.ids), got.finish, got.stop) == (said, finish, stop)


def test_ignoring_the_end_gives_as_many_tokens_as_asked() -> None:
    got = answer(PROMPT, Manner("a", "b"), WORDS, limit=70_000, ignore_eos=True)
    assert (len(got.ids), got.ids.index(EOS), got.finish) == (70_000, 3, "length")


def test_earlier_reasoning_is_not_in_the_prompt() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "<think>much</think>2"},
        {"role": "user", "content": [{"type": "text", "text": "3"}]},
    ]
    assert encode("much")[0] not in prompt_of(turns)
