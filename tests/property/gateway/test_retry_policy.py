"""Retries: bounded in number, in time and in what they add to the load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamLost,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnfit,
)
from gateway.settings import RetrySettings
from gateway.upstream.retry_policy import is_free, wait_before_next

DRAWS = st.floats(0, 1, exclude_max=True)
ERRORS: st.SearchStrategy[UpstreamError] = st.one_of(
    st.sampled_from(
        [
            UpstreamUnavailable("x"),
            UpstreamTimeout("x"),
            UpstreamLost("x"),
            UpstreamFailed("x"),
            UpstreamFailed("x", code="upstream_auth"),
            UpstreamRejected("x"),
            UpstreamUnfit("x"),
        ]
    ),
    st.builds(
        lambda status, after: UpstreamBusy("x", status=status, retry_after_s=after),
        st.sampled_from([429, 503]),
        st.none() | st.floats(0, 100),
    ),
)
SETTINGS = st.builds(
    RetrySettings,
    attempts=st.integers(1, 10),
    base_s=st.floats(0.001, 1),
    longest_wait_s=st.floats(0.01, 10),
)


@given(ERRORS, st.integers(1, 20), SETTINGS, DRAWS, st.booleans())
def test_waits_and_numbers_are_bounded(
    error: UpstreamError, made: int, settings: RetrySettings, draw: float, others: bool
) -> None:
    wait = wait_before_next(error, made, settings, draw, others=others)
    if made >= settings.attempts or type(error) is UpstreamRejected:
        assert wait is None
    if wait is not None:
        assert 0 <= wait <= settings.longest_wait_s


@given(st.floats(0, 100), DRAWS)
def test_a_pause_that_was_asked_for_is_kept_or_passed_on(after: float, draw: float) -> None:
    settings = RetrySettings()
    error = UpstreamBusy("x", status=429, retry_after_s=after)
    wait = wait_before_next(error, 1, settings, draw, others=False)
    if after > settings.longest_wait_s:
        assert wait is None
    else:
        assert wait is not None
        assert wait >= after
    # Another server did not ask for a pause.
    elsewhere = wait_before_next(error, 1, settings, draw, others=True)
    assert elsewhere is not None
    assert elsewhere <= settings.base_s


@pytest.mark.parametrize("others", [True, False])
def test_only_an_unreached_server_beside_a_healthy_one_is_free(others: bool) -> None:
    assert is_free(UpstreamUnavailable("x"), others=others) is others
    assert not is_free(UpstreamFailed("x"), others=others)


@pytest.mark.parametrize("others", [False, True])
def test_an_answer_that_moves_to_another_server_is_free(others: bool) -> None:
    for error in (UpstreamFailed("x"), UpstreamLost("x"), UpstreamTimeout("x")):
        assert is_free(error, others=others, moving=True) is others


def test_what_only_another_server_can_mend_is_not_asked_of_the_same_one() -> None:
    error = UpstreamFailed("x", code="upstream_auth")
    assert wait_before_next(error, 1, RetrySettings(), 0.5, others=False) is None
    assert wait_before_next(error, 1, RetrySettings(), 0.5, others=True) is not None


@given(st.integers(1, 8))
def test_jitter_is_full_and_doubles(made: int) -> None:
    settings = RetrySettings(attempts=10, base_s=0.01, longest_wait_s=10)
    error = UpstreamLost("x")
    assert wait_before_next(error, made, settings, 0.0, others=False) == 0
    half = wait_before_next(error, made, settings, 0.5, others=False)
    assert half == pytest.approx(0.5 * 0.01 * 2 ** (made - 1))


@given(st.booleans(), DRAWS)
def test_what_one_kind_of_server_cannot_do_is_asked_of_another(others: bool, draw: float) -> None:
    error = UpstreamUnfit("x")
    wait = wait_before_next(error, 1, RetrySettings(), draw, others=others)
    assert wait == (0.0 if others else None)
    assert is_free(error, others=others) is others
