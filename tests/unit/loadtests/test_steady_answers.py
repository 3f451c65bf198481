"""What the steady traffic says of an answer that is not the undisturbed one."""

from hypothesis import given
from hypothesis import strategies as st

from loadtests.steady.answers import Answer, count_faults, faults, text_fault

TEXT = st.text("abc 十", max_size=40)


@given(TEXT)
def test_the_same_text_has_no_fault(text: str) -> None:
    assert text_fault(text, text) is None


@given(TEXT, TEXT)
def test_any_difference_is_a_fault(got: str, expected: str) -> None:
    assert (text_fault(got, expected) is None) == (got == expected)


@given(TEXT, st.text("xyz", min_size=1, max_size=9), TEXT)
def test_what_is_lost_is_told_with_its_place(before: str, piece: str, after: str) -> None:
    fault = text_fault(before + after, before + piece + after)
    assert fault is not None
    assert fault.startswith(f"lost {len(piece)} characters at {len(before)}")
    assert piece in fault


@given(TEXT, st.text("xyz", min_size=1, max_size=9), TEXT)
def test_what_comes_twice_is_doubled(before: str, piece: str, after: str) -> None:
    fault = text_fault(before + piece + piece + after, before + piece + after)
    assert fault is not None
    assert fault.startswith(f"doubled {len(piece)} characters")


def test_what_was_never_there_is_added_and_what_changed_is_other_text() -> None:
    assert text_fault("12 and 3", "12 3") == "added 4 characters at 3: 'and '"
    assert text_fault("12 + 4", "12 + 3") == "other text at 5: '4', not '3'"


def test_counts_and_finish_reason_count_too() -> None:
    whole = Answer("7+5=12", "12", "stop", 9, 20, 15)
    assert faults(whole, whole) == []
    got = Answer("7+5=12", "12", "length", 9, 21, 15)
    assert faults(got, whole) == ["finish: 'length', not 'stop'", "completion_tokens: 21, not 20"]


def test_lengths_alone_may_be_compared() -> None:
    one, other = Answer("7", "5", "length", 9, 20, 4), Answer("12", "", "length", 9, 20, 20)
    assert count_faults(one, other) == []
    assert count_faults(one, Answer(finish="length", completion_tokens=19)) != []
