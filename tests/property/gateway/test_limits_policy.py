"""Prices and estimates, whatever the figures."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.estimate import Estimates
from gateway.limits.prices import NANO, cost, dollars, nano
from gateway.model_settings import Prices
from gateway.protocol.usage import Usage

tokens = st.integers(0, 10**7)
price = st.decimals(0, 1000, places=6).map(float)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    prompt, completion = draw(tokens), draw(tokens)
    return Usage(
        prompt,
        completion,
        reasoning=draw(st.integers(0, completion)),
        cached=draw(st.integers(0, prompt)),
    )


@given(usage=usages(), miss=price, hit=st.none() | price, output=price)
def test_a_cost_is_right_to_the_last_figure(
    usage: Usage, miss: float, hit: float | None, output: float
) -> None:
    prices = Prices(input_miss=miss, input_hit=hit, output=output)

    def exact(amount: int, usd: float) -> Fraction:
        return amount * Fraction(str(usd)) * NANO / 10**6

    cheaper = miss if hit is None else hit
    wanted = (
        exact(usage.prompt - usage.cached, miss)
        + exact(usage.cached, cheaper)
        + exact(usage.completion, output)
    )
    got = cost(usage, prices)
    assert abs(got - wanted) <= Fraction(1, 2)
    assert Fraction(dollars(got)) * NANO == got
    shown = Fraction(dollars(got, places=2)) * NANO
    assert 0 <= got - shown < NANO // 100


@given(st.decimals(0, 10**6, places=9))
def test_an_amount_keeps_its_figures(usd: object) -> None:
    assert Fraction(dollars(nano(float(str(usd))))) == Fraction(str(float(str(usd))))


@given(
    answered=st.lists(st.tuples(st.integers(1, 10**6), usages()), max_size=8),
    size=st.integers(1, 10**7),
    most=st.none() | st.integers(0, 10**6),
    answers=st.integers(1, 8),
)
def test_a_guess_is_within_bounds(
    answered: list[tuple[int, Usage]], size: int, most: int | None, answers: int
) -> None:
    estimates = Estimates(size=2)
    for number, (length, usage) in enumerate(answered):
        estimates.learn(f"k{number % 3}", "m", length, usage)
    guess = estimates.guess("k1", "m", size, most, answers)
    assert guess.prompt >= 1
    assert 1 <= guess.reasoning <= guess.answer
    if most is not None:
        assert guess.answer <= max(1, most) * answers


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_guesses_follow_what_is_seen(before: int, after: int) -> None:
    estimates = Estimates()
    estimates.learn("k", "m", 100, Usage(prompt=50, completion=before))
    assert estimates.guess("k", "m", 200, None).answer == before
    assert estimates.guess("k", "m", 200, None).prompt == 100
    for _ in range(60):
        estimates.learn("k", "m", 100, Usage(prompt=50, completion=after))
    assert abs(estimates.guess("k", "m", 200, None).answer - after) <= 1 + abs(before - after) / 1e4
    assert estimates.guess("another", "m", 200, 10).answer == 10
