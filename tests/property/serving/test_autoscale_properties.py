"""How many replicas a load wants."""

import math

from hypothesis import given
from hypothesis import strategies as st

from serving.engine.autoscale import expected_in_flight, wanted_replicas

counts = st.floats(0, 1e6)
targets = st.floats(1, 1000)


@given(counts, counts, counts, targets, counts)
def test_more_load_never_wants_fewer_replicas(
    in_flight: float, waiting: float, offered: float, target: float, more: float
) -> None:
    few = wanted_replicas(in_flight, waiting, 0, offered, target)
    assert wanted_replicas(in_flight + more, waiting, 0, offered, target) >= few
    assert wanted_replicas(in_flight, waiting + more, 0, offered, target) >= few
    assert wanted_replicas(in_flight, waiting, 0, offered + more, target) >= few


@given(counts, counts, counts, targets)
def test_what_is_there_has_a_place_and_so_has_what_is_expected(
    in_flight: float, waiting: float, offered: float, target: float
) -> None:
    places = math.ceil(wanted_replicas(in_flight, waiting, 0, offered, target)) * target
    assert places >= (in_flight + waiting) * (1 - 1e-9)
    assert places >= offered * (1 - 1e-9)


@given(counts)
def test_head_room_is_a_smaller_part_of_a_larger_load(offered: float) -> None:
    expected = expected_in_flight(offered)
    assert expected >= offered
    assert expected_in_flight(4 * offered) <= 4 * expected


@given(targets)
def test_nothing_to_do_wants_no_replica_and_one_request_wants_one(target: float) -> None:
    assert wanted_replicas(0, 0, 0, 0, target) == 0
    assert math.ceil(wanted_replicas(0, 1, 0, 0, target)) == 1
    assert math.ceil(wanted_replicas(0, 0, 1, 0, target)) == 1
    assert math.ceil(wanted_replicas(0, 0, 1000, 0, target)) == 1
