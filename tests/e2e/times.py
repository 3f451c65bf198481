"""What steps in the cluster took, for the page of measurements (tests/e2e/measure.py)."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "R1_E2E_TIMES"


def note(runtime: str, step: str, seconds: float, seen: str = "") -> None:
    """Keep one line: how long a step took, and what callers saw of it."""
    print(f"{runtime}: {step}: {seconds:.1f} s {seen}".rstrip())
    path = os.environ.get(VARIABLE)
    if path:
        line = {"runtime": runtime, "step": step, "seconds": round(seconds, 1), "seen": seen}
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@contextmanager
def timed(runtime: str, step: str) -> Iterator[None]:
    """Note how long the block takes, unless it fails."""
    began = time.monotonic()
    yield
    note(runtime, step, time.monotonic() - began)
