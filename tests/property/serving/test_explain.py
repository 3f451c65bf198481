"""Whatever an engine says, the sentence is one short line."""

from hypothesis import given
from hypothesis import strategies as st

from serving.local.explain import LONGEST, explain, root_cause
from tests.unit.serving.local.test_causes import CASES

SAID = st.sampled_from([text for text, _ in CASES.values()])


@given(st.lists(st.one_of(SAID, st.text(max_size=200)), max_size=6), st.sampled_from(["\n", " "]))
def test_a_sentence_is_one_short_line(parts: list[str], between: str) -> None:
    text = between.join(parts)
    sentence = explain(text)
    assert 0 < len(sentence) <= LONGEST
    assert "\n" not in sentence
    root_cause(text)


@given(SAID, st.text(alphabet="abc :.\n", max_size=300))
def test_what_else_stands_around_it_changes_nothing(said: str, around: str) -> None:
    assert explain(f"{around}\n{said}\n{around}") == explain(said)
