"""What the nano models are trained and tested on."""

import random

import pytest

from serving.nano import data, tokenizer, wordings
from serving.nano.arithmetic import boxed


def draw_many(count: int, *, held_out: bool = False) -> list[data.Example]:
    rng = random.Random(3)
    return [data.draw(rng, held_out=held_out) for _ in range(count)]


def test_no_question_is_both_trained_on_and_held_out() -> None:
    trained = {e.question for e in draw_many(3000)}
    tested = {e.question for e in draw_many(300, held_out=True)}
    assert not trained & tested
    assert all(data.is_held_out(q) for q in tested)


def test_every_kind_is_drawn_in_both_languages() -> None:
    kinds = {(e.kind, e.question.isascii()) for e in draw_many(3000)}
    assert kinds >= {(kind, ascii) for kind in data.KINDS for ascii in (True, False)}


def test_the_answer_is_what_the_content_boxes() -> None:
    examples = draw_many(1000)
    assert all(boxed(e.content) == e.answer for e in examples)
    assert any(e.answer is not None and e.answer < 0 for e in examples)
    assert any(e.answer == 0 for e in examples)


def test_what_is_not_arithmetic_is_refused_in_its_language() -> None:
    for example in draw_many(2000):
        if example.answer is None:
            chinese = any("\u4e00" <= c <= "\u9fff" for c in example.question)
            expected = wordings.REFUSAL_ZH if chinese else wordings.REFUSAL_EN
            assert example.content == expected


@pytest.mark.parametrize("language", ["en", "zh"])
def test_three_wordings_a_language_are_kept_out_of_training(language: data.Language) -> None:
    kept_out = wordings.HELD_OUT_EN if language == "en" else wordings.HELD_OUT_ZH
    trained = wordings.FRAMES_EN if language == "en" else wordings.FRAMES_ZH
    assert len(kept_out) == 3
    assert not set(kept_out) & set(trained)


def test_a_seed_draws_the_same_examples_again() -> None:
    assert draw_many(50) == draw_many(50)


def test_a_prompt_ends_with_the_prefilled_think_line() -> None:
    example = draw_many(1)[0]
    assert example.prompt.endswith(f"{tokenizer.ASSISTANT}<think>\n")
    assert tokenizer.THINK_END in example.completion
    assert example.completion.endswith(tokenizer.EOS)
