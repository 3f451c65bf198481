"""One sentence for each thing that a machine may lack."""

import os
from pathlib import Path

import pytest

from scripts.bootstrap import checks
from scripts.bootstrap.checks import GIB


@pytest.mark.parametrize(
    "have",
    [
        ("Darwin", "arm64", ("", "")),
        ("Linux", "aarch64", ("glibc", "2.36")),
        ("Linux", "x86_64", ("", "")),
        ("Linux", "x86_64", ("glibc", "2.28")),
        ("Linux", "x86_64", ("glibc", "2.9")),
    ],
)
def test_machines_without_wheels_are_refused(have: tuple[str, str, tuple[str, str]]) -> None:
    problem = checks.platform_problem(*have)
    assert problem is not None
    assert have[0] in problem
    assert have[1] in problem


@pytest.mark.parametrize("version", ["2.31", "2.36", "2.41"])
def test_machines_with_wheels_are_taken(version: str) -> None:
    assert checks.platform_problem("Linux", "x86_64", ("glibc", version)) is None


def test_a_full_disk_says_how_much_is_free_and_needed() -> None:
    problem = checks.disk_problem(Path("/home/me/r1"), int(1.5 * GIB))
    assert problem is not None
    assert "/home/me/r1 has 1.5 GiB free and the installation needs 6" in problem
    assert checks.disk_problem(Path("/"), 6 * GIB) is None


def test_a_folder_that_cannot_be_written_is_refused_with_the_reason() -> None:
    # /proc takes no files even from root.
    problem = checks.folder_problem(Path("/proc"))
    assert problem is not None
    assert problem.startswith("Cannot write into /proc (")


def test_a_writable_folder_is_taken_and_left_empty(tmp_path: Path) -> None:
    assert checks.folder_problem(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_missing_compiler_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    problem = checks.compiler_problem({"PATH": str(tmp_path)})
    assert problem is not None
    assert "g++ was not found" in problem
    assert "apt-get install g++" in problem


def test_the_compiler_that_cxx_names_is_the_one_looked_for(tmp_path: Path) -> None:
    compiler = tmp_path / "my-c++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    environ = {"PATH": str(tmp_path)}
    assert checks.compiler_problem(environ | {"CXX": "my-c++"}) is None
    assert "my-other" in (checks.compiler_problem(environ | {"CXX": "my-other"}) or "")


def test_python_without_headers_is_refused_and_with_them_taken(tmp_path: Path) -> None:
    problem = checks.headers_problem(os.environ, include=str(tmp_path))
    assert problem is not None
    assert "Python.h" in problem
    assert "python3-dev" in problem
    assert checks.headers_problem(os.environ) is None
