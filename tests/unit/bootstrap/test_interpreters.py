"""Which Python the bootstrap takes, and what it says where there is none."""

import ast
import sys
from pathlib import Path

import pytest

from scripts.bootstrap.interpreters import Interpreter, Refusal, candidates, choose, probe

BOOTSTRAP = Path(__file__).parents[3] / "scripts" / "bootstrap"


def machine(*found: Interpreter) -> dict[str, Interpreter]:
    return {one.path: one for one in found}


def chosen(*found: Interpreter) -> str:
    have = machine(*found)
    return choose(have, have.get).path


def test_prefers_the_first_supported_version_over_the_running_one() -> None:
    assert chosen(Interpreter("a", (3, 12), True), Interpreter("b", (3, 11), True)) == "b"


def test_takes_the_second_version_where_the_first_is_missing_or_cannot_make_environments() -> None:
    assert chosen(Interpreter("a", (3, 11), False), Interpreter("b", (3, 12), True)) == "b"


def test_passes_over_shims_that_do_not_run() -> None:
    have = machine(Interpreter("b", (3, 11), True))
    assert choose(["shim", "b"], have.get).path == "b"


@pytest.mark.parametrize("version", [(3, 9), (3, 10), (3, 13), (4, 0)])
def test_an_unsupported_python_is_refused_in_one_sentence(version: tuple[int, int]) -> None:
    with pytest.raises(Refusal) as refused:
        chosen(Interpreter("/usr/bin/python3", version, True))
    message = str(refused.value)
    have = "/usr/bin/python3 is {}.{}".format(*version)
    assert message.startswith(f"Python 3.11 or 3.12 is needed ({have}): ")
    assert "\n" not in message


def test_a_python_without_venv_names_the_package_to_install() -> None:
    with pytest.raises(Refusal, match=r"apt-get install python3\.11-venv"):
        chosen(Interpreter("/usr/bin/python3", (3, 11), False))


def test_nothing_found_is_said_too() -> None:
    with pytest.raises(Refusal, match="none found"):
        chosen()


def test_candidates_are_the_running_one_then_path_then_the_environment() -> None:
    assert candidates("/cur", ["/b1", "", "/b2"], None, "/venv") == [
        *("/cur", "/b1/python3.11", "/b2/python3.11", "/b1/python3.12", "/b2/python3.12", "/venv"),
    ]


def test_a_python_asked_for_is_the_only_candidate() -> None:
    assert candidates("/cur", ["/b1"], "/mine", "/venv") == ["/mine"]


def test_probe_reads_this_interpreter_and_survives_files_that_are_none(tmp_path: Path) -> None:
    found = probe(sys.executable)
    assert found is not None
    assert found.version == sys.version_info[:2]
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert probe(str(shim)) is None
    assert probe(str(tmp_path / "nothing")) is None


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py", "interpreters.py"])
def test_an_old_python_can_read_the_files_that_refuse_it(name: str) -> None:
    source = (BOOTSTRAP / name).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
