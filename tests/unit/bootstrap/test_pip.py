"""The order of the installation, what falls back and what does not, and what a failure says."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bootstrap.interpreters import Refusal
from scripts.bootstrap.pip import TORCH_INDEX, Pip, logged

ROOT = Path(__file__).parents[3]


class FakePip:
    """Writes the next prepared output to the log and keeps the commands it was given."""

    def __init__(self, log: Path, *answers: tuple[int, str]) -> None:
        self.commands: list[list[str]] = []
        self._log = log
        self._answers = list(answers)

    def __call__(self, command: list[str]) -> int:
        self.commands.append(command)
        code, output = self._answers.pop(0)
        with self._log.open("a") as file:
            file.write(output)
        return code


NO_BUILD = (1, "ERROR: No matching distribution found for torch==2.13.0+cpu\n")


def test_torch_comes_from_the_index_that_pip_is_set_up_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = FakePip(log, (0, ""))
    Pip(Path("python"), log, run).install_torch("2.13.0+cpu")
    assert len(run.commands) == 1
    assert run.commands[0][-1] == "torch==2.13.0+cpu"
    assert TORCH_INDEX not in run.commands[0]


def test_torch_falls_back_to_pytorchs_index_where_there_is_no_cpu_build(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = FakePip(log, NO_BUILD, (0, ""))
    Pip(Path("python"), log, run).install_torch("2.13.0+cpu")
    assert run.commands[1][-3:] == ["--index-url", TORCH_INDEX, "torch==2.13.0+cpu"]


def test_another_failure_is_not_taken_for_a_missing_build(tmp_path: Path) -> None:
    log = tmp_path / "log"
    # What an earlier call left in the log does not count.
    log.write_text(NO_BUILD[1])
    run = FakePip(log, (1, "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n"))
    with pytest.raises(Refusal, match="HASHES"):
        Pip(Path("python"), log, run).install_torch("2.13.0+cpu")
    assert len(run.commands) == 1


def test_no_call_lets_pip_resolve(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = FakePip(log, (0, ""), (0, ""), (0, ""))
    pip = Pip(Path("python"), log, run)
    pip.install_torch("2.13.0+cpu")
    pip.install_lock(tmp_path / "cpu.txt")
    pip.register(tmp_path)
    assert all("--no-deps" in command and "--no-input" in command for command in run.commands)


def test_a_failure_ends_with_pips_last_lines_and_names_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    output = "".join(f"line {number}\n" for number in range(40))
    run = FakePip(log, (1, output))
    with pytest.raises(Refusal) as refused:
        Pip(Path("python"), log, run).install_lock(tmp_path / "cpu.txt")
    lines = str(refused.value).splitlines()
    assert lines[0] == f"Installing cpu.txt failed: pip's whole output is in {log}."
    assert lines[-1].strip() == "line 39"
    assert "line 5" not in str(refused.value)


def test_a_disk_that_filled_up_is_said_in_a_sentence(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = FakePip(log, (1, "ERROR: [Errno 28] No space left on device\n"))
    with pytest.raises(Refusal, match=r"^The disk filled up while r1 was installed"):
        Pip(Path("python"), log, run).register(tmp_path)


def test_the_runner_logs_what_it_shows_and_neutralises_a_persons_pip_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    shown: list[str] = []
    script = (
        "import os, sys; print(os.environ.get('PIP_TARGET'), os.environ['PIP_USER']); sys.exit(3)"
    )
    code = logged(tmp_path / "log", tmp_path, shown.append)([sys.executable, "-c", script])
    assert code == 3
    assert shown == ["None 0"]
    assert (tmp_path / "log").read_text() == "None 0\n"


def test_an_interrupt_ends_the_command_and_goes_on(tmp_path: Path) -> None:
    """SIGINT to the bootstrap alone, as from `kill -INT`: its pip must not live on."""
    script = (
        "import sys; from pathlib import Path; from scripts.bootstrap.pip import logged\n"
        "log = Path(sys.argv[1])\n"
        "child = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'\n"
        "logged(log, log.parent, lambda line: print(line, flush=True))"
        "([sys.executable, '-c', child])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "log")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert not Path(f"/proc/{child}").exists()
