"""docs/loadtests.md: its commands, verbatim, against a gateway and a model server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.bench.figures import figures
from loadtests.users.kinds import KINDS
from tests.contract.stack import ROOT, Gateway, Simulator
from tests.pages import commands

PATH = ROOT / "docs" / "loadtests.md"
PAGE = PATH.read_text("utf-8")
COMMANDS = [each.text for each in commands(PATH) if Path(__file__).name in each.said]


@pytest.fixture
def shell(tmp_path: Path, gateway: Gateway) -> dict[str, str]:
    """A shell's environment in a folder with a checkout, `r1` and `locust` on PATH."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("r1", "locust"):
        script = tools / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {name} "$@"\n')
        script.chmod(0o755)
    (tmp_path / "loadtests").symlink_to(ROOT / "loadtests")
    (tmp_path / "key").write_text(gateway.key)
    return {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "OPENAI_BASE_URL": f"{gateway.url}/v1",
        "OPENAI_API_KEY": gateway.key,
    }


# A few seconds each.
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_every_command_of_the_page_does_what_it_says(
    tmp_path: Path, shell: dict[str, str], vllm: Simulator
) -> None:
    assert len(COMMANDS) == 5
    vllm.control(reasoning="so", content="\\boxed{7}")
    for text in COMMANDS:
        done = subprocess.run(
            ["bash", "-euc", text],
            cwd=tmp_path,
            env=shell,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, text + done.stdout + done.stderr
        assert "kept" in done.stdout
    for folder in ("report", "swarm"):
        assert (tmp_path / folder / "report.html").exists()
    assert (tmp_path / "load_stats.csv").exists()
    assert (tmp_path / "load.html").exists()


def test_the_page_names_all_users_and_no_figure_that_is_not_there() -> None:
    table = re.findall(r"^\| `(\w+)` \| .* \| .* \|$", PAGE, re.MULTILINE)
    assert [name for name in table if name in KINDS] == list(KINDS)
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]*\|$", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named
    assert named <= set(figures([], {}))
