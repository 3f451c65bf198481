"""The shared test configuration: markers by folder, and no silent skip under CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

SUITE = """
import pytest

def test_runs(request):
    assert {folder!r} in [marker.name for marker in request.node.iter_markers()]

@pytest.mark.skip(reason="no tool")
def test_skipped():
    pass

@pytest.mark.xfail(reason="known")
def test_expected_failure():
    assert False
"""


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    """A project with this one's conftest and pytest configuration and suites of its own."""
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for folder in ("unit", "integration"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / "test_it.py").write_text(SUITE.format(folder=folder))
    (tmp_path / "tests" / "conftest.py").write_bytes((ROOT / "tests/conftest.py").read_bytes())
    return tmp_path


def run(root: Path, *arguments: str, ci: str) -> subprocess.CompletedProcess[str]:
    # Only the plugins that the configuration names: loading all of them takes most of the time.
    plugins = ["-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-p", "pytest_timeout"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *arguments],
        cwd=root,
        env=dict(os.environ) | {"R1_CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_test_gets_its_folders_marker(suites: Path) -> None:
    result = run(suites, "-m", "integration", ci="0")
    assert result.returncode == 0, result.stdout
    assert "1 passed, 1 skipped, 3 deselected, 1 xfailed" in result.stdout


def test_a_skip_fails_under_ci_with_its_reason_and_an_expected_failure_does_not(
    suites: Path,
) -> None:
    result = run(suites, "tests/unit", ci="1")
    assert result.returncode == 1
    assert "1 passed, 1 xfailed, 1 error" in result.stdout
    assert "skipped, which CI does not allow" in result.stdout
    assert "no tool" in result.stdout


def test_a_module_that_skips_itself_fails_under_ci(suites: Path) -> None:
    (suites / "tests/unit/test_it.py").write_text("import pytest\npytest.importorskip('nowhere')\n")
    assert run(suites, "tests/unit", ci="0").returncode == 5
    result = run(suites, "tests/unit", ci="1")
    assert result.returncode == 2
    assert "skipped, which CI does not allow" in result.stdout


def test_a_warning_and_an_unknown_marker_fail(suites: Path) -> None:
    path = suites / "tests/unit/test_it.py"
    path.write_text("import warnings\ndef test_it():\n    warnings.warn('old')\n")
    assert run(suites, "tests/unit", ci="0").returncode == 1
    path.write_text("import pytest\n@pytest.mark.smok\ndef test_it():\n    pass\n")
    assert "'smok' not found in `markers`" in run(suites, "tests/unit", ci="0").stdout
