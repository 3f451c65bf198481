"""The first process of a Ray pod."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.kubernetes.ray_node import command, has_workers, head_of, run


def test_it_runs_what_it_is_given() -> None:
    assert command(["ray", "start"], {"KUBERAY_GEN_RAY_START_CMD": "other"}) == ["ray", "start"]


def test_it_runs_kuberays_command_as_a_shell_would_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "pw")
    text = """ray start --head --redis-password=$REDIS_PASSWORD --resources='{"model:m":1}'"""
    assert command([], {"KUBERAY_GEN_RAY_START_CMD": text}) == [
        "ray", "start", "--head", "--redis-password=pw", '--resources={"model:m":1}',
    ]  # fmt: skip


def test_it_says_what_is_missing() -> None:
    with pytest.raises(SystemExit, match="KUBERAY_GEN_RAY_START_CMD"):
        command([], {})


def test_a_worker_knows_its_head_and_a_head_has_none() -> None:
    assert head_of(["ray", "start", "--address=r1-ray-head:6379"]) == ("r1-ray-head", 6379)
    assert head_of(["ray", "start", "--head"]) is None


@pytest.mark.parametrize("role", ["worker", "head"])
def test_who_is_told_to_go_does_not_wait_for_those_who_are_gone(tmp_path: Path, role: str) -> None:
    ready = tmp_path / "ready"
    script = f"""
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(ready)!r}).touch()
time.sleep(600)
"""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    words = [sys.executable, "-c", script]
    if role == "worker":
        words.append(f"--address=127.0.0.1:{port}")
    code = f"from serving.kubernetes.ray_node import run; raise SystemExit(-run({words!r}, .1, .1))"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == signal.SIGKILL


def test_a_head_has_workers_while_others_are_connected_to_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        # Its own processes and the autoscaler beside it ask it too.
        with socket.create_connection(("127.0.0.1", port)):
            assert not has_workers(port)
        with socket.socket() as worker:
            worker.bind(("127.0.0.2", 0))
            worker.connect(("127.0.0.1", port))
            assert has_workers(port)


def test_it_ends_with_the_commands_status() -> None:
    assert run([sys.executable, "-c", "raise SystemExit(3)"]) == 3


def test_it_passes_sigterm_on_to_the_command_alone(tmp_path: Path) -> None:
    # The command's child would end by the signal if it got it.
    ready, heard = tmp_path / "ready", tmp_path / "heard"
    script = f"""
import pathlib, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
def heard(*_):
    pathlib.Path({str(heard)!r}).write_text(str(child.poll()))
    child.kill()
    child.wait()
    sys.exit(7)
signal.signal(signal.SIGTERM, heard)
pathlib.Path({str(ready)!r}).touch()
signal.pause()
"""
    words = [sys.executable, "-c", script]
    code = f"from serving.kubernetes.ray_node import run; raise SystemExit(run({words!r}))"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ}) as process:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 7
    assert heard.read_text() == "None"
