"""Raw text with `<think>` in it is split the same way however it was cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.think import ThinkSplitter

# Texts in which marks, whole and broken, are frequent.
TEXTS = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<thi", "</thin", "<", "/", ">", "k>", " ", "\n", "7+5"]
    )
    | st.text(max_size=4),
    max_size=12,
).map("".join)


def split(pieces: list[str], opened: bool) -> tuple[str, str]:
    splitter = ThinkSplitter(opened=opened)
    parts = [*(splitter.feed(piece) for piece in pieces), splitter.end()]
    return "".join(a for a, _ in parts), "".join(b for _, b in parts)


def whole(text: str, opened: bool) -> tuple[str, str]:
    """What the split means, without any pieces."""
    bare = text.lstrip()
    if bare.startswith("<think>"):
        text = bare.removeprefix("<think>")
    elif not opened:
        return "", text
    reasoning, _, content = text.partition("</think>")
    return reasoning, content


@given(TEXTS, st.lists(st.integers(0, 60)), st.booleans())
def test_any_cutting_gives_the_same_split(text: str, cuts: list[int], opened: bool) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert split(pieces, opened) == whole(text, opened)
    assert split(list(text), opened) == whole(text, opened)


@given(TEXTS, st.booleans())
def test_no_more_than_half_a_mark_is_held_back(text: str, opened: bool) -> None:
    splitter = ThinkSplitter(opened=opened)
    for each in text:
        splitter.feed(each)
    assert len("".join(splitter.end()).lstrip()) < len("</think>")


def test_a_stream_of_r1() -> None:
    assert split(["<th", "ink>7+5", "=12</", "think>", "\n\n12"], False) == ("7+5=12", "\n\n12")
    assert split(["7+5=12</th", "ink>12"], True) == ("7+5=12", "12")
    assert split(["a <think> in the text"], False) == ("", "a <think> in the text")
    assert split(["7+5 cut in the mid</thi"], True) == ("7+5 cut in the mid</thi", "")
