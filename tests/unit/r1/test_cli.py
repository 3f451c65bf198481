import importlib
from pathlib import Path

import pytest

from r1 import cli
from r1.stack.find import NoStack, find


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_its_module(command: str) -> None:
    module = importlib.import_module(f"r1.{command.replace('-', '_')}")
    assert callable(module.run)
    assert callable(module.add_arguments)


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert command in capsys.readouterr().out


def test_no_command_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    "command", ["status", "down", "env", "models", "keys list", "cache stats", "chat hello"]
)
def test_without_a_stack_a_command_says_how_to_start_one(
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("R1_STATE_DIR", str(tmp_path))
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "R1_PORT_BASE"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(command.split()) == 1
    assert "`r1 up` starts one" in capsys.readouterr().err


def test_a_missing_stack_names_the_port_base_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("R1_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("r1.stack.find.running_bases", lambda root: [20000])
    with pytest.raises(NoStack, match="port base 8080; try --port-base 20000"):
        find(8080)
