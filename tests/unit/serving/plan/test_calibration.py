"""The factors that ship are those that the figures that ship give."""

from dataclasses import asdict, fields, replace

import pytest

from serving.errors import InvalidDocument
from serving.plan.calibration import BANDS, CALIBRATED, compare, fit, loss, prepared
from serving.plan.published import Measurement, PublishedList
from serving.plan.roofline import Factors

PUBLISHED = PublishedList.load()
RUNS = prepared(PUBLISHED.fitted)


def test_at_most_four_factors_are_fitted() -> None:
    assert len(fields(Factors)) == 4


def test_no_other_factors_predict_the_figures_better() -> None:
    fitted = fit(RUNS, CALIBRATED, (1.02, 1.01))
    for name, value in asdict(fitted).items():
        assert value == pytest.approx(getattr(CALIBRATED, name), rel=0.021), name
    assert loss(RUNS, CALIBRATED) <= loss(RUNS, fitted) * 1.01


def test_each_factor_matters() -> None:
    for name, value in asdict(CALIBRATED).items():
        other = replace(CALIBRATED, **{name: 1.5 * value})
        assert loss(RUNS, other) > 1.05 * loss(RUNS, CALIBRATED), name


def test_most_figures_are_within_the_band_that_plans_state() -> None:
    for kind, band in BANDS.items():
        errors = [abs(each.error) for each in compare(RUNS, CALIBRATED) if each.kind == kind]
        assert sum(error <= band for error in errors) >= 0.8 * len(errors), kind


def test_figures_that_nothing_was_fitted_to_are_near_too() -> None:
    found = compare(prepared(PUBLISHED.never_fitted), CALIBRATED)
    errors = sorted(abs(each.error) for each in found)
    assert len(errors) >= 10
    assert errors[len(errors) // 2] < 0.16
    assert errors[-1] < 0.4


def test_every_run_has_a_source_and_says_what_was_assumed() -> None:
    for run in (*PUBLISHED.fitted, *PUBLISHED.never_fitted):
        assert len(run.source) > 20
        if run.closed is not None and run.closed.users is None:
            assert run.assumed


def test_a_run_is_of_one_kind() -> None:
    given = PUBLISHED.fitted[0].model_dump()
    with pytest.raises(ValueError, match="give one of closed, decode, prefill and once"):
        Measurement.model_validate(given | {"decode": {"sequences": 1.0, "context": 1.0}})


def test_the_list_is_read_strictly(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "published.yaml"
    path.write_text("fitted: []\nnever_fitted: []\nsurprise: 1\n")
    monkeypatch.setattr("serving.plan.published.PUBLISHED", path)
    with pytest.raises(InvalidDocument, match="surprise"):
        PublishedList.load()
