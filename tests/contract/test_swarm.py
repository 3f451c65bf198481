"""Locust's own tables, files and exit status, with r1's users in it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.stack import ROOT, Simulator, free_port

SHORT = ("--longest-prompt", "20", "--longest-answer", "12", "--think", "0.05")


@pytest.fixture(scope="module")
def lying(folder: Path) -> Iterator[Simulator]:
    """A model server that says the same of every sum."""
    server = Simulator(folder)
    server.control(content="\\boxed{-1}")
    yield server
    server.end()


def command(server: Simulator, *words: str) -> list[str]:
    file = ROOT / "loadtests" / "swarm" / "locustfile.py"
    start = [sys.executable, "-m", "locust", "-f", str(file), "--model", "r1-nano"]
    return [*start, "--host", f"{server.url}/v1", "--only-summary", *words]


def locust(folder: Path, server: Simulator, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(server, "--headless", *SHORT, *words),
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def table(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with path.open(newline="") as file:
        return {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}


def test_every_measure_has_an_entry_of_its_own(tmp_path: Path, lying: Simulator) -> None:
    words = ("-u", "4", "-r", "20", "-t", "3s", "--mix", "hot,disconnector")
    files = ("--csv", "load", "--html", "load.html", "--out", "out")
    done = locust(tmp_path, lying, *words, *files)
    rows = table(tmp_path / "load_stats.csv")
    names = {name for kind, name in rows if kind == "hot"}
    assert names == {"TTFT", "ITL", "TPOT", "E2E", "tokens", "ended: done", "answer: wrong"}, (
        done.stderr[-2000:]
    )
    assert {name for kind, name in rows if kind == "disconnector"} >= {"TTFT", "ended: left"}
    wrong = rows["hot", "answer: wrong"]
    assert wrong["Failure Count"] == wrong["Request Count"] == rows["hot", "E2E"]["Request Count"]
    assert rows["hot", "ended: done"]["Failure Count"] == "0"
    assert rows["disconnector", "ended: left"]["Failure Count"] == "0"
    html = (tmp_path / "load.html").read_text()
    assert all(name in html for name in ("TTFT", "ITL", "TPOT", "answer: wrong"))
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    # The files of figures are written before the last answers are in: one a user, at most.
    assert 0 <= data["completed"] - int(rows["hot", "E2E"]["Request Count"]) <= 4
    assert 0 <= data["wrong"] - int(wrong["Failure Count"]) <= 4
    assert data["failed"] == 0
    # Wrong answers are failures to Locust.
    assert done.returncode == 1


def test_gates_and_shapes_are_those_of_r1_bench(tmp_path: Path, lying: Simulator) -> None:
    (tmp_path / "slo.yaml").write_text("most: {failed: 0}\nleast: {request_throughput: 0.1}\n")
    words = ("--shape", "spike:1,5", "--seconds", "3", "--mix", "reasoning", "--rate", "4")
    done = locust(tmp_path, lying, *words, "--slo", "slo.yaml", "--out", "out")
    assert done.returncode == 0, done.stderr[-2000:]
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert data["kept"] is True
    assert data["completed"] > 0
    (tmp_path / "slo.yaml").write_text("most: {p99_ttft_ms: 0.001}\n")
    assert locust(tmp_path, lying, *words, "--slo", "slo.yaml").returncode == 1


def test_a_wrong_option_is_named(tmp_path: Path, lying: Simulator) -> None:
    done = locust(tmp_path, lying, "-t", "1s", "--mix", "nobody")
    assert done.returncode != 0
    assert "there are no users 'nobody'" in done.stderr


@pytest.mark.slow
def test_workers_share_a_trace_and_their_master_reports(tmp_path: Path, lying: Simulator) -> None:
    trace = tmp_path / "trace.csv"
    rows = [f"{number * 100},10,4" for number in range(21)]
    trace.write_text("\n".join(["timestamp,input_length,output_length", *rows]) + "\n")
    port = str(free_port())
    shared = (*SHORT, "--trace", str(trace), "--workers", "2")
    workers = [
        subprocess.Popen(
            command(lying, "--worker", "--master-port", port, *shared),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
        )
        for _ in range(2)
    ]
    try:
        master = ("--master", "--master-bind-port", port, "--expect-workers", "2", "-t", "8s")
        done = locust(tmp_path, lying, *master, *shared, "-u", "2", "-r", "2", "--out", "out")
        assert done.returncode == 0, done.stderr[-2000:]
    finally:
        for each in workers:
            each.wait(30)
    lines = (tmp_path / "out" / "calls.jsonl").read_text().splitlines()
    calls = sorted((json.loads(line) for line in lines), key=lambda each: each["due"])
    assert [each["ending"] for each in calls] == ["done"] * 21
    assert {each["output_len"] for each in calls} == {4}
    # Two processes, one clock: the arrivals are a tenth of a second apart.
    assert calls[-1]["due"] == pytest.approx(2.0, abs=1.0)
