"""The nano models' tokenizer: any text in, the same text out; digits alone; R1's template."""

from collections.abc import Sequence
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from serving.nano import data, tokenizer

BUILT = pytest.fixture(scope="module")


@BUILT
def built() -> Tokenizer:
    return tokenizer.build(data.corpus())


def template(messages: Sequence[dict[str, Any]]) -> str:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(tokenizer.CHAT_TEMPLATE).render(
        messages=messages, bos_token=tokenizer.BOS, add_generation_prompt=True
    )


def test_the_vocabulary_has_every_byte_and_every_special_token(built: Tokenizer) -> None:
    assert built.get_vocab_size() == tokenizer.VOCABULARY
    for token in tokenizer.SPECIAL:
        assert built.encode(token).ids == [built.token_to_id(token)]


@given(text=st.text(max_size=60))
def test_any_text_comes_back(built: Tokenizer, text: str) -> None:
    assert built.decode(built.encode(text).ids, skip_special_tokens=False) == text


def test_the_working_is_one_token_a_character(built: Tokenizer) -> None:
    line = "+(4821+0379)\n1+9+0=0c1\n2-7-1=4b1\n=+05200\n"
    assert len(built.encode(line).ids) == len(line)


def test_the_template_makes_the_trained_prompt() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+1"},
        {"role": "assistant", "content": "<think>\n+(0001…\n</think>\n\n\\boxed{2}"},
        {"role": "user", "content": "2+2"},
    ]
    expected = tokenizer.prompt("2+2", "Be brief.", (("1+1", "\\boxed{2}"),))
    assert template(messages) == expected


def test_the_marks_of_thinking_stay_in_the_text_and_the_others_do_not(built: Tokenizer) -> None:
    ids = built.encode(f"<think>\n1{tokenizer.THINK_END}2{tokenizer.EOS}").ids
    assert built.decode(ids, skip_special_tokens=True) == "<think>\n1</think>2"
