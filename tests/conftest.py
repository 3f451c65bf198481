"""What all suites share: markers by folder, longer limits for real engines, no skips under CI."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# No test depends on the speed of its machine.
settings.register_profile("r1", deadline=None)
settings.load_profile("r1")

TESTS = Path(__file__).parent
FOLDER_MARKERS = ("unit", "property", "contract", "integration", "chart", "e2e", "chaos")
# Seconds for one test. A real stack starts in a minute and a half on two cores.
TIMEOUTS_S = {"integration": 300, "e2e": 600, "chaos": 600}
# Under CI a missing tool or folder is a broken set-up, not a reason to test less.
SKIPS_FAIL = os.environ.get("R1_CI") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the marker and the time limit of its folder."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder not in FOLDER_MARKERS:
            continue
        item.add_marker(folder)
        if folder in TIMEOUTS_S and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUTS_S[folder]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure under CI; an expected failure stays one."""
    report = yield
    if SKIPS_FAIL and report.skipped and not hasattr(report, "wasxfail"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips itself while it is imported."""
    report = yield
    if SKIPS_FAIL and report.skipped:
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    report.outcome = "failed"
    report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
