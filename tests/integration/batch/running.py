"""A batch in a process of its own, as a terminal would run it, and what can be asked of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from r1.batch import marker
from r1.stack.keeper import MARKER
from r1.stack.processes import is_running, marked

ROOT = Path(__file__).parents[3]


def wait_for(what: str, condition: Callable[[], bool], limit_s: float) -> None:
    """Wait until a condition holds; fail with its name after the limit."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, f"waited in vain: {what}"
        time.sleep(0.005)


class Batch:
    """`r1 batch run in.jsonl out.jsonl` in a folder."""

    def __init__(self, folder: Path, *words: str, command: Sequence[str] = ("-m", "r1")) -> None:
        self.source, self.output = folder / "in.jsonl", folder / "out.jsonl"
        self.errors, self.log = folder / "out.errors.jsonl", folder / "out.log"
        self._said = folder / "said"
        self._command = [sys.executable, *command, "batch", "run"]
        self._command += [str(self.source), str(self.output), *words]
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, requests: Sequence[dict[str, Any]]) -> None:
        """Write the input: each request a custom_id, a body and perhaps a url."""
        lines = [
            json.dumps({"method": "POST", "url": "/v1/chat/completions", **request})
            for request in requests
        ]
        self.source.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it in a process group of its own."""
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.output.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
        return self.process

    def end(self, number: int) -> int:
        """Send a signal to its whole process group; return how it ended."""
        assert self.process is not None
        os.killpg(self.process.pid, number)
        return self.process.wait(60)

    def said(self) -> str:
        """What it printed."""
        return self._said.read_text(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines of both files."""
        found = []
        for path in (self.output, self.errors):
            text = path.read_bytes() if path.exists() else b""
            found += [json.loads(line) for line in text.split(b"\n")[:-1]]
        return found

    def left(self) -> list[int]:
        """Processes of this output's batches that run."""
        return [pid for pid in marked(f"{MARKER}={marker(self.output)}") if is_running(pid)]

    def folders(self) -> list[Path]:
        """Temporary folders of this output's batches."""
        return [*Path("/tmp").glob(f"r1-*/{marker(self.output)}")]

    def shared(self) -> list[Path]:
        """Shared memory of this output's batches with a fake worker."""
        return [*Path("/dev/shm").glob(f"{marker(self.output)}-*")]

    def stop(self) -> None:
        """End whatever is left, for a fixture's end."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        wait_for("the keeper to clean up", lambda: self.left() == [], 60)
        for file in self.shared():
            file.unlink()
