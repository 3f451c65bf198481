"""Selectors are found in expressions, and nothing else is taken for one."""

import pytest

from scripts.observability.promql import metric, selectors


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("up", ["up"]),
        ("0 * r1:x > 1.5e3", ["r1:x"]),
        ('rate(x_total{a="}b", c=~"d{2}"}[5m])', ['x_total{a="}b", c=~"d{2}"}']),
        ("sum by (a, b) (x) / on (a) group_left (b) max without (c) (y)", ["x", "y"]),
        ("x / ignoring (a) group_left y", ["x", "y"]),
        ('label_replace(x, "a", "$1", "b", "(.+) or z")', ["x"]),
        ('count({__name__=~"a|b"}) unless x', ['{__name__=~"a|b"}', "x"]),
        ("x offset 1d and vector(0) or x", ["x"]),
        ("histogram_quantile(0.95, sum by (le) (rate(x_bucket[1m])))", ["x_bucket"]),
        ("time() - x == bool 2", ["x"]),
    ],
)
def test_selectors(expr: str, found: list[str]) -> None:
    assert selectors(expr) == found


def test_the_name_in_a_selector() -> None:
    assert metric('x{a="b"}') == "x"
    assert metric("vllm:x") == "vllm:x"
    assert metric('{__name__="x"}') == ""
