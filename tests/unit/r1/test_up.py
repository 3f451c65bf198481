from pathlib import Path

import pytest

from r1 import up
from r1.cli import main
from r1.stack.home import Home, write_private
from r1.stack.ports import plan_ports
from r1.stack.status import StackStatus


def test_what_can_not_be_served_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("R1_STATE_DIR", str(tmp_path))
    assert main(["up", "r1-nano", "--offline-folder", str(tmp_path / "empty")]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("r1 up: there are no weights of r1-nano in ")
    assert said.out == ""
    assert list(tmp_path.iterdir()) == [], "nothing is made before it is known what to serve"


def test_a_layout_over_several_nodes_is_only_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("R1_STATE_DIR", str(tmp_path))
    assert main(["up", "deepseek-r1", "--hardware", "2x8xh100"]) == 1
    assert "has 2 nodes, and this stack runs on one" in capsys.readouterr().err


def test_a_new_key_is_shown_once(tmp_path: Path) -> None:
    home = Home.of(20000, tmp_path)
    write_private(home.user_key, "r1-thekey")
    status = StackStatus(20000, "x", ready_after_s=33.0, models=["r1-nano"])
    status.key_created = True
    assert "export OPENAI_API_KEY=r1-thekey" in up.how_to_use(status, plan_ports(20000), home)
    status.key_created = False
    later = up.how_to_use(status, plan_ports(20000), home)
    assert "r1-thekey" not in later
    assert "http://127.0.0.1:20000/v1" in later
    assert "r1 chat --port-base 20000" in later
