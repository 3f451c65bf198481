"""Every recording rule makes of known figures what it should."""

from pathlib import Path

import pytest

from scripts.observability import render
from scripts.observability.values import defaults
from tests.unit.observability import promtool, sources

KNOWN = promtool.given("recorded.yaml")


@pytest.mark.timeout(600)
def test_recorded_series_have_the_values_that_their_sources_say(tmp_path: Path) -> None:
    promtool.check(tmp_path, render.groups(defaults()), [{"name": "known figures", **KNOWN}])


def test_every_recorded_series_is_among_them() -> None:
    assert {name.partition("{")[0] for name in KNOWN["recorded"]} == sources.recorded()
