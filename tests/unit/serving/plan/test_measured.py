"""An engine whose steps were measured."""

import pytest

from serving.plan.load import Lengths, Load
from serving.plan.measured import Measured, line
from serving.plan.outlook import outlook
from serving.plan.roofline import Work

ENGINE = Measured(0.004, 0.0002, 5e-6, 0.003, 32, 2048, 16_384)


def test_a_line_goes_through_its_points() -> None:
    assert line([(1.0, 3.0), (2.0, 5.0), (4.0, 9.0)]) == pytest.approx((1.0, 2.0))
    # Times are never negative: noise may not make them so.
    assert line([(1.0, 5.0), (2.0, 4.0)])[1] == 0
    with pytest.raises(ValueError, match="two places"):
        line([(1.0, 1.0), (1.0, 2.0)])


def test_a_step_is_linear() -> None:
    assert ENGINE.seconds(Work(10, 100)) == pytest.approx(0.006)
    assert ENGINE.seconds(Work(10, 100, 400, 400, 400)) == pytest.approx(0.008)


def test_a_quiet_engine_answers_in_its_own_time() -> None:
    load = Load(requests_per_s=0.1, prompt=Lengths(100), answer=Lengths(50))
    seen = outlook(ENGINE, load)
    assert seen is not None
    assert seen.state.tpot_s == pytest.approx(0.0042, rel=0.02)
    assert seen.ttft_s(0.5) == pytest.approx(0.003 + 0.0042 * 1.5 + 0.0005, rel=0.02)
    assert seen.e2e_s(0.5) == pytest.approx(seen.ttft_s(0.5) + 50 * seen.state.tpot_s)
