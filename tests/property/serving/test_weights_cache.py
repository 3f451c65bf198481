"""What a cache drops to make room, and what a fetch says of itself."""

from hypothesis import given
from hypothesis import strategies as st

from serving.weights.cache import Entry, evictions
from serving.weights.progress import Progress

ENTRIES = st.lists(
    st.builds(
        Entry,
        name=st.uuids().map(str),
        bytes=st.integers(0, 1000),
        used=st.floats(0, 1e9),
        in_use=st.booleans(),
    ),
    max_size=12,
)


@given(ENTRIES, st.integers(0, 5000), st.integers(-1000, 3000))
def test_evictions_make_room_with_the_oldest_and_no_more(
    entries: list[Entry], needed: int, room: int
) -> None:
    chosen = evictions(entries, needed, room)
    idle = [entry for entry in entries if not entry.in_use]
    if chosen is None:
        assert needed > room + sum(entry.bytes for entry in idle)
        return
    assert not any(entry.in_use for entry in chosen)
    assert needed <= room + sum(entry.bytes for entry in chosen)
    if chosen:
        assert needed > room + sum(entry.bytes for entry in chosen[:-1])
        kept = [entry for entry in idle if entry not in chosen]
        assert all(old.used <= young.used for old in chosen for young in kept)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.floats(0, 1e6), st.integers(0, 10**12))
def test_progress_can_always_be_told(done: int, more: int, seconds: float, fresh: int) -> None:
    told = Progress("fetch", done, done + more, seconds, fresh).sentence()
    assert told.startswith("fetching weights: ")
    assert "100 %" in told or done < done + more
