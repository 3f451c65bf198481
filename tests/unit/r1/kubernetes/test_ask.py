"""The answer that `helm test` takes for right."""

import pytest

from r1.kubernetes.ask import is_right


@pytest.mark.parametrize("text", ["\\boxed{5200}", "It is 5,200.", "4821 + 379 = 5200"])
def test_the_sum_counts(text: str) -> None:
    assert is_right(text)


@pytest.mark.parametrize("text", ["", "52000", "15200", "5300", "520.0"])
def test_anything_else_does_not(text: str) -> None:
    assert not is_right(text)
