"""When files are worth reading again."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.reload import Watch

FILE = Path("gateway.yaml")
contents = st.sampled_from([b"a", b"b", None])


@given(st.lists(contents))
def test_a_change_counts_once_it_was_seen_twice(looks: list[bytes | None]) -> None:
    watch = Watch({FILE: b"a"})
    known: bytes | None = b"a"
    before: bytes | None = b"a"
    for now in looks:
        due = watch.look({FILE: now})
        assert due == (now == before and now != known)
        before = now
        if due:
            watch.read({FILE: now})
            known = now


@given(st.lists(contents), contents)
def test_a_change_that_stays_is_never_missed(looks: list[bytes | None], last: bytes | None) -> None:
    watch = Watch({FILE: b"a"})
    for now in looks:
        watch.look({FILE: now})
    watch.look({FILE: last})
    assert watch.look({FILE: last}) == (last != b"a")
