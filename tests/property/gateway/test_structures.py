"""The size of a pattern with its repetitions written out."""

from __future__ import annotations

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.structures import states

ATOMS = st.sampled_from(["a", "é", r"\d", "[a-z]", "[]x]", r"[\]]"])


@st.composite
def patterns(draw: st.DrawFn, depth: int = 3) -> tuple[str, int]:
    """A regular expression and how many atoms it has, written out."""
    text, size = draw(ATOMS), 1
    for _ in range(draw(st.integers(0, depth))):
        times = draw(st.integers(1, 9))
        text, size = f"(?:{text}){{{times}}}", (size + 2) * times
        if draw(st.booleans()):
            text, size = text + draw(ATOMS), size + 1
            text = f"({text})"
    return text, size


@given(patterns())
def test_repetitions_multiply(drawn: tuple[str, int]) -> None:
    text, size = drawn
    re.compile(text)
    # `?:` of a group counts as a character more.
    assert size / 3 <= states(text) <= size * 2


@given(st.text(alphabet=r"a({[\])}+*?|,0123456789", max_size=60))
def test_any_text_has_a_size(text: str) -> None:
    assert states(text) >= 0
    assert states(text, 100) <= states(text) or states(text) > 100


def test_large_ones_are_found_at_once() -> None:
    began = time.process_time()
    assert states("(a{999}){999}", 10_000) > 10_000
    assert states("(" * 32_000 + "a{9}" + "){9}" * 8_000, 10_000) > 10_000
    assert states("a{" * 30_000, 10_000) > 10_000
    assert states("(a" * 30_000, 10_000) >= 0
    assert time.process_time() - began < 2
