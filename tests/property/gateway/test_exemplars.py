"""An exemplar is read as it was written, or not at all."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.exemplars import Exemplar, packed, unpacked
from gateway.telemetry.families import Family, Meter
from gateway.telemetry.sheet import Sheet, make_files, read, read_exemplars
from gateway.telemetry.trace import Trace

TIMES = Family("t_seconds", "histogram", "Took.", ("who",), (0.1, 1, 60))
COUNTER = Family("c_total", "counter", "Counts.", ("who",))

exemplars = st.builds(
    Exemplar,
    st.integers(1, 2**128 - 1).map("{:032x}".format),
    st.integers(1, 2**64 - 1).map("{:016x}".format),
    st.floats(0, 1e6),
    st.floats(0, 4e9),
)


@given(exemplars)
def test_what_is_written_is_read(exemplar: Exemplar) -> None:
    assert unpacked(packed(exemplar)) == exemplar


@given(exemplars, exemplars, st.integers(0, 6))
def test_one_that_is_half_written_is_not_shown(old: Exemplar, new: Exemplar, words: int) -> None:
    at = 8 * words
    found = unpacked(packed(new)[:at] + packed(old)[at:])
    assert found in (None, old, new)


def test_a_place_where_none_was_written_has_none() -> None:
    assert unpacked(bytes(48)) is None


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.floats(0, 100), st.booleans(), exemplars), max_size=30
    )
)
def test_between_counts_they_move_none_of_them(
    seen: list[tuple[str, float, bool, Exemplar]],
) -> None:
    files = make_files()
    try:
        meter = Meter(Sheet(files), wall=lambda: 1.0)
        last: dict[tuple[str, float], str] = {}
        for who, value, recorded, exemplar in seen:
            trace = Trace(exemplar.trace, exemplar.span) if recorded else None
            meter.distribution(TIMES, who).observe(value, trace=trace)
            meter.number(COUNTER, who).add()
            if recorded:
                bound = next((each for each in TIMES.buckets if value <= each), float("inf"))
                last[who, bound] = exemplar.trace
        # A worker that takes another one's place finds all of it where it was.
        Meter(Sheet(files)).number(COUNTER, "a").add(0)
        for who in "ab":
            mine = [value for name, value, *_ in seen if name == who]
            cells = {(cell.family, cell.suffix): 0.0 for cell, _ in read(files)}
            for cell, value in read(files):
                if cell.labels[0][1] == who:
                    cells[cell.family, cell.suffix] += value
            if mine:
                assert cells["t_seconds", "_bucket"] == cells["c_total", ""] == len(mine)
        found = {
            (cell.labels[0][1], float(cell.labels[1][1])): exemplar
            for cell, exemplar in read_exemplars(files)
        }
        assert {place: each.trace for place, each in found.items()} == last
    finally:
        os.close(files.cells)
        os.close(files.names)
