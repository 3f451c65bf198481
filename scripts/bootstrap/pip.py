"""Runs pip inside `.venv`, with a log file and a line that says how far it is."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.bootstrap.interpreters import Refusal

# The one index that the project names: CPU builds of torch are not on the default index.
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
TAIL_LINES = 12

# A person's own pip settings may send packages elsewhere; the ones for indexes and certificates
# must stay as they are.
_NEUTRAL = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
_REMOVED = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_REQUIREMENT")

Runner = Callable[[list[str]], int]


class Pip:
    """pip of one environment. `run` takes a command, appends to `log`, returns the exit status."""

    def __init__(self, python: Path, log: Path, run: Runner) -> None:
        self._python = python
        self._log = log
        self._run = run

    def install(self, *arguments: str) -> bool:
        """`pip install` without a resolver; False where pip fails (its output is in the log)."""
        command = [
            *(str(self._python), "-I", "-m", "pip", "install"),
            *("--no-deps", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
            *arguments,
        ]
        return self._run(command) == 0

    def install_torch(self, version: str) -> None:
        """Install the CPU build of torch, from wherever pip is set up to look, else from PyTorch.

        `version` has the local part `+cpu`, which only CPU builds carry: an index that has just
        the CUDA build answers "no matching distribution" and nothing is downloaded.
        Raises Refusal.
        """
        before = self._log_size()
        if self.install(f"torch=={version}"):
            return
        if "No matching distribution found for torch" not in self._log_since(before):
            raise Refusal(self.failure("torch"))
        if not self.install("--index-url", TORCH_INDEX, f"torch=={version}"):
            raise Refusal(self.failure("torch"))

    def install_lock(self, lock: Path) -> None:
        """Install every package of a complete lock. Raises Refusal."""
        if not self.install("--only-binary", ":all:", "-r", str(lock)):
            raise Refusal(self.failure(lock.name))

    def register(self, root: Path) -> None:
        """Make the checkout importable and its command callable. Raises Refusal."""
        if not self.install("--no-build-isolation", "--editable", str(root)):
            raise Refusal(self.failure("r1"))

    def failure(self, what: str) -> str:
        """One sentence on why pip failed, then the end of its log."""
        lines = self._log_since(0).splitlines()[-TAIL_LINES:]
        if any("No space left on device" in line for line in lines):
            sentence = f"The disk filled up while {what} was installed: free 6 GiB and try again."
        else:
            sentence = f"Installing {what} failed: pip's whole output is in {self._log}."
        return "\n".join([sentence, *(f"    {line}" for line in lines)])

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def _log_since(self, offset: int) -> str:
        if not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")


def logged(log: Path, temporary: Path, say: Callable[[str], None]) -> Runner:
    """Return a runner that appends a command's output to `log` and passes each line to `say`.

    `temporary` is where pip unpacks: inside the environment, so that what an interrupt leaves goes
    when that is rebuilt, and the check of the free disk is about the right disk.
    When this process is interrupted the command is ended before the interruption goes on.
    """

    def run(command: list[str]) -> int:
        environ = {name: value for name, value in os.environ.items() if name not in _REMOVED}
        with (
            log.open("ab") as file,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environ | _NEUTRAL | {"TMPDIR": str(temporary)},
            ) as process,
        ):
            try:
                for line in process.stdout or ():
                    file.write(line)
                    file.flush()
                    say(line.decode(errors="replace").strip())
                return process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()

    return run


class Progress:
    """Tells on one terminal line, or now and then on a pipe, what pip is at."""

    PIPE_INTERVAL_S = 20.0
    WIDTH = 60

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._said = self._start
        self._terminal = sys.stderr.isatty()

    def __call__(self, line: str) -> None:
        """Show `line` if it says something about progress."""
        if not line.startswith(("Collecting", "Downloading", "Installing", "Building")):
            return
        now = self._clock()
        text = f"  {now - self._start:4.0f} s  {line[: self.WIDTH]}"
        if self._terminal:
            print(f"\r{text:<{self.WIDTH + 12}}", end="", file=sys.stderr, flush=True)
        elif now - self._said >= self.PIPE_INTERVAL_S:
            self._said = now
            print(text, file=sys.stderr, flush=True)

    def done(self, lines: Iterable[str]) -> None:
        """End the terminal line and print `lines`."""
        if self._terminal:
            print("\r" + " " * (self.WIDTH + 12) + "\r", end="", file=sys.stderr)
        for line in lines:
            print(line, file=sys.stderr, flush=True)
