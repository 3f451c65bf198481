from hypothesis import given
from hypothesis import strategies as st

from r1.stack.restarts import RestartPolicy


def test_the_delay_doubles_up_to_its_bound() -> None:
    policy = RestartPolicy(first_delay_s=1, longest_delay_s=5, give_up_after=99)
    assert [policy.died(0).delay_s for _ in range(5)] == [1, 2, 4, 5, 5]


def test_a_steady_run_forgives_the_deaths_before_it() -> None:
    policy = RestartPolicy(first_delay_s=1, longest_delay_s=100, steady_after_s=60)
    policy.died(0)
    policy.died(10)
    assert policy.died(61).delay_s == 1


def test_deaths_in_a_row_end_in_giving_up() -> None:
    policy = RestartPolicy(give_up_after=3)
    assert [policy.died(1).give_up for _ in range(3)] == [False, False, True]


@given(st.lists(st.floats(0, 59), min_size=1, max_size=30))
def test_delays_never_shrink_without_a_steady_run(runs: list[float]) -> None:
    policy = RestartPolicy(give_up_after=100)
    delays = [policy.died(ran).delay_s for ran in runs]
    assert delays == sorted(delays)
    assert max(delays) <= policy.longest_delay_s
