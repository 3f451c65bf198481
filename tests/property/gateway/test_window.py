"""The batch window: its rule, its feedback, and what it measures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings as settings_of_test
from hypothesis import strategies as st

from gateway.batching.strain import Quantile, Strain, bucket
from gateway.batching.window import Reading, Slowest, adjust, start
from gateway.batching_settings import Batching

DEFAULT = Batching()
RATIOS = st.floats(0.06, 15.0)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_rule_follows_the_rate_between_its_ends(one: float, other: float) -> None:
    low, high = start(min(one, other), DEFAULT), start(max(one, other), DEFAULT)
    assert 4 <= low <= high <= 32
    assert start(10.0, DEFAULT) == 4
    assert start(100.0, DEFAULT) == 32
    assert start(55.0, DEFAULT) == 18


@given(
    st.floats(4, 256),
    st.integers(1, 256),
    RATIOS,
    RATIOS,
    st.floats(1, 300),
    st.booleans(),
    st.one_of(st.none(), RATIOS),
)
def test_feedback_raises_where_targets_are_met_and_lowers_where_they_are_not(
    window: float,
    capacity: int,
    gap: float,
    usual: float,
    inside: float,
    waiting: bool,
    first: float | None,
) -> None:
    seen = Reading(
        Slowest(gap, inside),
        Slowest(min(gap, usual), inside),
        None if first is None else Slowest(first, inside),
        waiting,
    )
    after = adjust(window, seen, capacity, DEFAULT)
    least = min(capacity, DEFAULT.low_window)
    assert least <= after <= capacity
    missed = gap > 1.0 or (first is not None and first > 1.0)
    if missed:
        assert after <= max(window, least)
    else:
        assert after >= min(window, capacity)


def test_who_is_slow_now_gets_less_whatever_was_inside_when_it_was_slowest() -> None:
    window = 32.0
    for _ in range(60):
        # The slowest were seen with 32 inside, minutes ago; with a few inside it is slow too.
        seen = Reading(Slowest(2.4, 32.0), Slowest(2.0, window), None, waiting=True)
        window = adjust(window, seen, 256, DEFAULT)
    assert window == DEFAULT.low_window
    # With a median in time, what lies behind is no reason to go below what it says.
    seen = Reading(Slowest(1.2, 32.0), Slowest(0.5, 16.0), None, waiting=True)
    assert adjust(16.0, seen, 256, DEFAULT) == 16.0


@given(st.floats(4, 256), st.booleans(), st.booleans())
def test_without_streams_those_who_wait_raise_it(window: float, waiting: bool, blind: bool) -> None:
    after = adjust(window, Reading(None, None, None, waiting, blind), 256, DEFAULT)
    raised = min(256, window + DEFAULT.increase)
    assert after == (raised if waiting and blind else window)


def test_nobody_streams_only_after_some_intervals_without_a_token() -> None:
    strain = Strain(DEFAULT)
    told = []
    for _ in range(6):
        strain.add([], [])
        told.append(strain.read(waiting=True).blind)
    assert told == [False, False, False, True, True, True]
    strain.add([{bucket(0.5): (1.0, 1.0)}], [])
    assert not strain.read(waiting=True).blind


@settings_of_test(max_examples=25)
@given(
    st.floats(0.005, 0.1),
    st.floats(0.01, 0.2),
    st.integers(8, 256),
    st.floats(1.25, 6.0),
)
def test_it_comes_to_the_largest_batch_that_meets_the_target(
    weights_s: float, part: float, capacity: int, slack: float
) -> None:
    """On any engine whose step is affine in its batch, and with no more room than that."""
    sequence_s = part * weights_s
    target_s = slack * (weights_s + 4 * sequence_s)
    best = min(capacity, (target_s - weights_s) / sequence_s)
    settings = Batching(itl_s=target_s)
    strain, window = Strain(settings), 4.0
    for _ in range(600):
        inside = int(window)
        ratio = (weights_s + sequence_s * inside) / target_s
        tokens = inside * max(1.0, settings.interval_s / (ratio * target_s))
        strain.add([{bucket(ratio): (tokens, tokens * inside)}], [])
        window = adjust(window, strain.read(waiting=True), capacity, settings)
        assert window <= 1.1 * best + 2
    assert window >= 0.75 * best - 2


@given(st.lists(RATIOS, min_size=1, max_size=300), st.sampled_from((0.5, 0.95, 0.99)))
def test_a_quantile_is_right_to_within_its_buckets(ratios: list[float], share: float) -> None:
    quantile = Quantile(share)
    for ratio in ratios:
        quantile.add(bucket(ratio), 1.0, 7.0)
    exact = sorted(ratios)[min(len(ratios) - 1, int(share * len(ratios)))]
    told = quantile.value()
    assert any(abs(told.ratio / each - 1) < 0.042 for each in ratios)
    assert exact / 1.042 <= told.ratio <= max(ratios) * 1.042
    assert abs(told.inside - 7.0) < 1e-6
    assert Quantile(share).value() == Slowest(0.0, 0.0)


@given(
    st.lists(st.tuples(RATIOS, st.floats(0.1, 50.0)), min_size=1, max_size=60),
    st.sampled_from((0.0, 1e-20, 0.3, 0.9983)),
    st.sampled_from((0.5, 0.99)),
)
def test_what_faded_counts_as_that_much_less(
    seen: list[tuple[float, float]], kept: float, share: float
) -> None:
    # Where two buckets meet exactly, rounding may choose either.
    faded, *others = (Quantile(each) for each in (share, share - 1e-6, share + 1e-6))
    for age, (ratio, times) in enumerate(seen):
        faded.fade(kept)
        faded.add(bucket(ratio), times, 7.0)
        for weighed in others:
            left = max(kept, 1e-30) ** (len(seen) - 1 - age)
            weighed.add(bucket(ratio), times * left, 7.0)
    least, most = others
    assert abs(faded.count - least.count) <= 1e-9 * least.count
    told = faded.value()
    assert least.value().ratio / 1.042 <= told.ratio <= most.value().ratio * 1.042
    assert abs(told.inside - 7.0) < 1e-6


def test_a_missed_first_token_is_told_once() -> None:
    strain = Strain(DEFAULT)
    strain.add([], [{bucket(3.0): (30.0, 60.0)}])
    first = strain.read(waiting=False).first
    assert first is not None
    assert first.ratio > 2.8
    assert strain.read(waiting=False).first is None


def test_a_few_steps_are_no_reason_to_lower() -> None:
    strain = Strain(DEFAULT)
    strain.add([{bucket(2.0): (120.0, 480.0)}], [])
    early = strain.read(waiting=True)
    assert early.gaps is not None
    assert early.gaps.ratio == 1.0
    strain.add([{bucket(2.0): (400.0, 1600.0)}], [])
    sure = strain.read(waiting=True)
    assert sure.gaps is not None
    assert sure.gaps.ratio > 1.9
