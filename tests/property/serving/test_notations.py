"""The adapters' answers say the right number, and read back as it."""

import random
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.nano import data
from serving.nano.arithmetic import boxed
from serving.nano.notations import NOTATIONS, Notation, in_hexadecimal, in_money


@given(st.integers())
def test_hexadecimal_reads_back_as_the_number(number: int) -> None:
    assert int(in_hexadecimal(number), 16) == number


@given(st.integers(-(10**9), 10**9))
def test_money_reads_back_as_hundredths(number: int) -> None:
    assert int(Decimal(in_money(number)) * 100) == number


@given(st.integers(-198, 198))
def test_the_sixteens_and_the_rest_are_the_number(number: int) -> None:
    found = re.fullmatch(r"hex (\d{3})\+(\d{2})\n", NOTATIONS["hex"].convert(number))
    assert found is not None
    sixteens, rest = map(int, found.groups())
    assert sixteens + rest == abs(number)
    assert sixteens % 16 == 0
    assert rest < 16


@pytest.mark.parametrize("notation", NOTATIONS.values(), ids=NOTATIONS.keys())
@given(seed=st.integers(0, 2**32))
def test_an_example_keeps_the_bases_reasoning_and_boxes_its_own_answer(
    notation: Notation, seed: int
) -> None:
    example = notation.draw(random.Random(seed))
    assert example.answer is not None
    assert not data.is_held_out(example.question)
    numbers = [int(each) for each in re.findall(r"\d+", example.reasoning.splitlines()[0])]
    assert max(numbers) <= notation.largest
    working, check, after = example.reasoning.rpartition(" ok\n")
    assert working.splitlines()[-1].startswith("check")
    assert check + after == " ok\n" + notation.convert(example.answer)
    assert example.content == f"\\boxed{{{notation.write(example.answer)}}}"
    assert boxed(example.content) is None, "it is not the base's answer"


def test_a_refusal_has_no_answer_to_write() -> None:
    refusal = data.Example("other", "A poem", "no\n", "no", None)
    with pytest.raises(ValueError, match="has no number"):
        NOTATIONS["hex"].answered(refusal)
