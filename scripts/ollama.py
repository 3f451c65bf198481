"""A real Ollama in a process of its own, for tests and proofs.

The program is `ollama.xz` in the folder that the variable R1_OLLAMA names, else `ollama` on
PATH. It keeps its models and keys in the folder it is given.
"""

from __future__ import annotations

import lzma
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

MISSING = (
    "no Ollama: install it (https://ollama.com) so that `ollama` is on PATH, or set R1_OLLAMA to a "
    "folder with ollama.xz"
)
_START_S = 60.0


def program(folder: Path) -> Path | None:
    """The executable, unpacked into `folder` where it has to be; None if there is none."""
    kit = os.environ.get("R1_OLLAMA")
    if kit is None:
        found = shutil.which("ollama")
        return None if found is None else Path(found)
    unpacked = folder / "ollama"
    with lzma.open(Path(kit) / "ollama.xz") as packed, unpacked.open("wb") as out:
        shutil.copyfileobj(packed, out)
    unpacked.chmod(0o755)
    return unpacked


class Ollama:
    """A running `ollama serve`. It and its runners are one process group, and end together."""

    def __init__(self, executable: Path, home: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._executable = executable
        self._environment = {
            **os.environ,
            "HOME": str(home),
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_NUM_PARALLEL": "4",
            "OLLAMA_MAX_LOADED_MODELS": "1",
            "OLLAMA_NOHISTORY": "1",
            "GOMAXPROCS": "2",
        }
        home.mkdir(parents=True, exist_ok=True)
        with (home / "serve.log").open("ab") as log:
            self._child = subprocess.Popen(
                [executable, "serve"],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def create(self, name: str, modelfile: Path) -> None:
        """`ollama create`."""
        self._run("create", name, "-f", str(modelfile))

    def remove(self, name: str) -> None:
        """`ollama rm`."""
        self._run("rm", name)

    def kill(self) -> None:
        """kill -9, the runners too."""
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def end(self) -> None:
        """Whatever still runs of it ends."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def _run(self, *words: str) -> None:
        subprocess.run(
            [self._executable, *words],
            env=self._environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )

    def _wait(self) -> None:
        end = time.monotonic() + _START_S
        while True:
            try:
                with urllib.request.urlopen(self.url, timeout=5):  # noqa: S310 (our own address)
                    return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > end or self._child.poll() is not None:
                    self.end()
                    raise
            time.sleep(0.05)
