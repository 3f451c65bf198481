"""Faults under steady traffic with simulated engines, and a short soak; `make prove` has them all.

python -m loadtests.chaos
python -m loadtests.soak
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.stack import ROOT, wait_for

FAULTS = ("engine killed", "packet loss", "Redis out of memory", "disk full")
"""One of each kind: a server, the network, the store, the machine."""

Rows = dict[str, list[dict[str, Any]]]


def command(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", module, *words]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Of the table, by faults: all of them in one run."""
    told = tmp_path_factory.mktemp("chaos") / "rows.json"
    words = (*FAULTS, "--only", "r1", "--hold", "2", "--tokens", "150", "--json", str(told))
    done = subprocess.run(
        command("loadtests.chaos", *words), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.exists(), done.stderr
    print(done.stdout)
    found: list[dict[str, Any]] = json.loads(told.read_text())
    return {name: [row for row in found if row["fault"].startswith(name)] for name in FAULTS}


@pytest.mark.parametrize("fault", FAULTS)
def test_callers_notice_nothing_but_a_pause(rows: Rows, fault: str) -> None:
    if (missing := rows[fault][0].get("missing")) is not None:
        pytest.skip(missing)
    assert {row["load"] for row in rows[fault]} == {"streams", "calls"}
    for row in rows[fault]:
        assert row["calls"] > 0
        assert (row["failed"], row["wrong"], row["lost_tokens"]) == (0, 0, 0), row


def test_streams_of_a_killed_engine_go_on_elsewhere(rows: Rows) -> None:
    (streams,) = (row for row in rows["engine killed"] if row["load"] == "streams")
    assert streams["resumed"] > 0


def test_ctrl_c_undoes_a_fault_and_leaves_nothing(tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as said:
        running = subprocess.Popen(
            command("loadtests.chaos", "engine frozen", "--only", "r1", "--hold", "600"),
            cwd=ROOT,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:

        def frozen() -> bool:
            below = psutil.Process(running.pid).children(recursive=True)
            return any(each.status() == psutil.STATUS_STOPPED for each in below)

        wait_for(frozen, "the fault", 200)
        below = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGINT)
        assert running.wait(120) != 0
        assert [each for each in below if each.is_running()] == []
    finally:
        running.kill()
        running.wait()


def test_a_short_soak() -> None:
    words = ("--minutes", "1.5", "--hold", "6")
    done = subprocess.run(
        command("loadtests.soak", *words), cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert "MISSED" not in done.stdout
