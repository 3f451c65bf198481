"""The working that the nano models learn is right, line by line, for every problem."""

import re

from hypothesis import given
from hypothesis import strategies as st

from serving.nano.arithmetic import Operator, Problem, boxed

four = st.integers(0, 9999)
two = st.integers(0, 99)
signs = st.sampled_from(["+", "-"])


def problems() -> st.SearchStrategy[Problem]:
    single = st.builds(lambda a, b, o: Problem((a, b), (o,)), four, four, signs)
    product = st.builds(lambda a, b: Problem((a, b), ("*",)), two, st.integers(0, 9))
    swapped = st.builds(lambda a, b: Problem((a, b), ("*",)), st.integers(0, 9), two)
    chain = st.builds(lambda a, b, c, o, p: Problem((a, b, c), (o, p)), two, two, two, signs, signs)
    return st.one_of(single, product, swapped, chain)


@given(problems())
def test_the_last_result_line_is_the_answer(problem: Problem) -> None:
    results = re.findall(r"^=([+-]\d{5})$", problem.working(), re.MULTILINE)
    assert int(results[-1]) == problem.answer()


@given(problems())
def test_every_column_is_right(problem: Problem) -> None:
    columns = re.findall(r"^(\d)([+-])(\d)[+-](\d)=(\d)[cb](\d)$", problem.working(), re.MULTILINE)
    assert columns
    for x, sign, y, carry_in, digit, carry_out in columns:
        total = int(x) + int(y) + int(carry_in) if sign == "+" else int(x) - int(y) - int(carry_in)
        carried = int(carry_out) if sign == "+" else -int(carry_out)
        assert total == int(digit) + 10 * carried


@given(problems())
def test_the_working_reads_the_operands_as_asked(problem: Problem) -> None:
    expression, first = problem.working().splitlines()[:2]
    assert eval(expression) == problem.answer()
    a, operator, b = re.fullmatch(r"\+\((\d{4})([+*-])(\d{4})\)", first).groups()  # type: ignore[union-attr]
    assert (int(a), int(b)) == problem.numbers[:2]
    assert operator == problem.operators[0]


@given(problems())
def test_the_self_check_compares_last_digits_that_agree(problem: Problem) -> None:
    check = problem.working().splitlines()[-1]
    x, operator, y, digit = re.fullmatch(r"check (\d)([+*])(\d) ends (\d) ok", check).groups()  # type: ignore[union-attr]
    value = int(x) + int(y) if operator == "+" else int(x) * int(y)
    assert value % 10 == int(digit)


@given(two, two, two, signs, signs)
def test_a_chain_goes_from_left_to_right(
    a: int, b: int, c: int, first: Operator, second: Operator
) -> None:
    problem = Problem((a, b, c), (first, second))
    assert problem.answer() == eval(f"{a}{first}{b}{second}{c}")


@given(st.integers(-99999, 99999), st.text(max_size=20))
def test_the_boxed_number_is_found_in_any_text(number: int, around: str) -> None:
    assert boxed(f"{around}\\boxed{{{number}}}{around.replace('boxed', '')}") == number


def test_a_text_without_a_box_has_no_answer() -> None:
    assert boxed("the answer is 12") is None
    assert boxed("\\boxed{}") is None
