"""A comparison as it is run, small: r1 and none, with a peer that is not installed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from loadtests.compare.turns import Tree, alone
from tests.contract.stack import ROOT, wait_for


@pytest.mark.timeout(240)
def test_a_small_comparison_gives_tables_rounds_and_plots(tmp_path: Path) -> None:
    out, nowhere = tmp_path / "out", tmp_path / "peers"
    words = ["--servers", "direct,r1,vllm-router", "--cases", "failing", "--rounds", "2"]
    words += ["--seconds", "0.2", "--peers", str(nowhere), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "r1", "compare", "gateways", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.count("| r1 |") == 2  # how it is run, and the row of the case
    assert f"-m venv {nowhere} && {nowhere}/bin/pip install 'vllm-router==" in done.stdout
    rounds = json.loads((out / "failing.json").read_text())["rounds"]
    assert {name: len(each) for name, each in rounds.items()} == {"direct": 2, "r1": 2}
    # Without a gateway, whoever is at a failing upstream gets its answers, and asks once.
    assert all(0 < each["failed"] < 100 for each in rounds["direct"])
    assert all(each["reached"] == 100 for each in rounds["direct"])
    assert all(each["calls"] > 0 and each["cpu"] > 0 for each in rounds["r1"])
    assert all("cpu" not in each for each in rounds["direct"])
    assert "<svg" in (out / "failing.svg").read_text()


@pytest.mark.timeout(180)
def test_a_comparison_that_is_ended_ends_what_it_started() -> None:
    words = ["--servers", "direct,r1", "--cases", "streams-500", "--rounds", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "r1", "compare", "gateways", *words], cwd=ROOT
    )
    root = psutil.Process(process.pid)
    # The model server, Redis and the gateway with its worker.
    wait_for(lambda: len(root.children(recursive=True)) >= 4, "all servers", 90)
    below = root.children(recursive=True)
    process.terminate()
    assert process.wait(60) == 143
    wait_for(lambda: not any(each.is_running() for each in below), "the end of all")


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child."""
    code = "import subprocess as s; s.run(['sleep', '60'])"
    process = subprocess.Popen([sys.executable, "-c", code])
    yield process
    for each in psutil.Process(process.pid).children(recursive=True):
        each.kill()
    process.kill()
    process.wait()


def test_in_a_turn_all_processes_of_the_others_are_stopped(
    parent: subprocess.Popen[bytes],
) -> None:
    root = psutil.Process(parent.pid)
    wait_for(lambda: len(root.children()) == 1, "the child")

    def stopped() -> list[bool]:
        return [
            each.status() == psutil.STATUS_STOPPED
            for each in (root, *root.children(recursive=True))
        ]

    mine, other = Tree(psutil.Process().pid), Tree(parent.pid)
    with alone(mine, [mine, other]):
        wait_for(lambda: stopped() == [True, True], "both to be stopped")
    wait_for(lambda: stopped() == [False, False], "both to go on")


def test_those_that_were_stopped_go_on_after_a_failure(parent: subprocess.Popen[bytes]) -> None:
    root = psutil.Process(parent.pid)
    with pytest.raises(ZeroDivisionError), alone(Tree(1), [Tree(parent.pid)]):
        raise ZeroDivisionError
    wait_for(lambda: root.status() != psutil.STATUS_STOPPED, "it to go on")
