"""What the bootstrap does to an environment, from what it finds."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.bootstrap.stamp import Action, Stamp, decide, read_stamp

STAMP = Stamp(lock="l", pyproject="p", python="3.11", root="/r1")


def test_a_fresh_environment_is_left_alone() -> None:
    assert decide(STAMP, STAMP, usable=True, interrupted=False) is Action.NOTHING


@pytest.mark.parametrize(
    ("changed", "action"),
    [
        ({"pyproject": "x"}, Action.REGISTER),
        ({"lock": "x"}, Action.INSTALL),
        ({"lock": "x", "pyproject": "x"}, Action.INSTALL),
        ({"python": "3.12"}, Action.REBUILD),
        ({"root": "/moved"}, Action.REBUILD),
    ],
)
def test_what_changed_decides_how_much_is_done(changed: dict[str, str], action: Action) -> None:
    found = replace(STAMP, **changed)
    assert decide(STAMP, found, usable=True, interrupted=False) is action


def test_an_environment_without_stamp_is_completed() -> None:
    assert decide(STAMP, None, usable=True, interrupted=False) is Action.INSTALL


def test_a_half_install_or_a_broken_python_is_made_anew_whatever_the_stamp_says() -> None:
    assert decide(STAMP, STAMP, usable=True, interrupted=True) is Action.REBUILD
    assert decide(STAMP, STAMP, usable=False, interrupted=False) is Action.REBUILD


def test_a_stamp_comes_back_as_it_was_written(tmp_path: Path) -> None:
    STAMP.write(tmp_path / "stamp")
    assert read_stamp(tmp_path / "stamp") == STAMP
    assert [path.name for path in tmp_path.iterdir()] == ["stamp"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"lock": "l"}', '{"format": 2}', "3"])
def test_a_torn_or_foreign_stamp_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stamp"
    path.write_text(text)
    assert read_stamp(path) is None


def test_no_stamp_counts_as_none(tmp_path: Path) -> None:
    assert read_stamp(tmp_path / "nothing" / "stamp") is None
