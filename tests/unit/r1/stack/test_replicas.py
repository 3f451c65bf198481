import argparse

import pytest

from r1.stack.plan import ServedModel
from r1.stack.replicas import bounds, spread


@pytest.mark.parametrize(("text", "found"), [("1", (1, 1)), ("3", (3, 3)), ("0-2", (0, 2))])
def test_a_number_or_a_range(text: str, found: tuple[int, int]) -> None:
    assert bounds(text) == found


@pytest.mark.parametrize("text", ["0", "2-1", "0-0", "-1", "a", "", "1-", "-2-1"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as 0-2"):
        bounds(text)


def test_all_models_get_as_many() -> None:
    models = spread((ServedModel("a", None, "default"), ServedModel("b", None, "x")), (0, 2))
    assert {(each.min_replicas, each.max_replicas) for each in models} == {(0, 2)}
    assert [each.profile for each in models] == ["default", "x"]
